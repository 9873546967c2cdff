import type { Command } from "commander";
import { runServices, type Service } from "../run-services.ts";
import type { CommandContext } from "../terminal.ts";

const commands: readonly { name: string; services: readonly Service[]; description: string; example: string }[] = [
  {
    name: "server",
    services: ["server"],
    description: "take Kinde's webhooks: verify, write down, queue",
    example: "PORT=8080 kindling server",
  },
  {
    name: "worker",
    services: ["worker"],
    description: "refresh users: fetch from Kinde, derive the flags, store",
    example: "KINDLING_REFRESH_CONCURRENCY=40 kindling worker",
  },
  {
    name: "start",
    services: ["server", "worker"],
    description: "server and worker in one process",
    example: "KINDLING_FLAGS=config/flags.ts kindling start",
  },
];

const help = (name: string, example: string) => `
SIGTERM or Ctrl-C: takes no more work, finishes what is in hand within
KINDLING_SHUTDOWN_TIMEOUT (20s), and exits 0. A second one exits at once.

Examples:
  kindling ${name}
  ${example}
  node --env-file=.env "$(command -v kindling)" ${name}

Exit codes:
  0    stopped as asked
  1    unexpected failure
  2    the settings do not fit, the flags file does not load, or the port is taken
  3    Redis is out of reach or must not hold the data
  130  stopped at once by a second Ctrl-C (143 by SIGTERM)`;

/** `kindling server`, `worker` and `start`: any number of each make up a deployment. */
export function addServices(program: Command, { terminal }: CommandContext): void {
  for (const { name, services, description, example } of commands) {
    program
      .command(name)
      .description(description)
      .addHelpText("after", help(name, example))
      .action(() => runServices(terminal, services));
  }
}
