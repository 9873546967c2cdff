import type { Command } from "commander";
import { runServices, type Service } from "../run-services.ts";
import type { CommandContext } from "../terminal.ts";

const commands: readonly { name: string; services: readonly Service[]; description: string; example: string }[] = [
  {
    name: "server",
    services: ["server"],
    description: "receive Kinde's webhooks and serve flags over HTTP",
    example: "PORT=8080 kindling server",
  },
  {
    name: "worker",
    services: ["worker"],
    description: "refresh users: fetch from Kinde, derive flags, store",
    example: "KINDLING_REFRESH_CONCURRENCY=40 kindling worker",
  },
  {
    name: "start",
    services: ["server", "worker"],
    description: "run server and worker in one process",
    example: "KINDLING_FLAGS=config/flags.ts kindling start",
  },
];

const help = (name: string, example: string) => `
SIGTERM and Ctrl-C stop it gracefully: it accepts no more work, finishes running
work within KINDLING_SHUTDOWN_TIMEOUT (20s) and exits with 0. A second signal
stops it immediately.

Examples:
  kindling ${name}
  ${example}
  node --env-file=.env "$(command -v kindling)" ${name}

Exit codes:
  0    stopped gracefully
  1    unexpected error
  2    invalid settings, the flags file does not load, or the port is in use
  3    Redis is unreachable, or its configuration could lose data
  130  stopped immediately by a second Ctrl-C (143: by SIGTERM)`;

/** Adds `kindling server`, `worker` and `start`. A deployment runs any number of each. */
export function addServices(program: Command, { terminal }: CommandContext): void {
  for (const { name, services, description, example } of commands) {
    program
      .command(name)
      .description(description)
      .addHelpText("after", help(name, example))
      .action(() => runServices(terminal, services));
  }
}
