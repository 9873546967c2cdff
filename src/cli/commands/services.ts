import type { Command } from "commander";
import { runServices, type Service } from "../run-services.ts";
import type { CommandContext } from "../terminal.ts";

const commands: readonly {
  name: string;
  services: readonly Service[];
  description: string;
  example: string;
  about?: string;
}[] = [
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
    services: ["server", "worker", "dashboard"],
    description: "run server, worker and dashboard in one process",
    example: "KINDLING_FLAGS=config/flags.ts kindling start",
  },
  {
    name: "dashboard",
    services: ["dashboard"],
    description: "serve the dashboard for operators",
    example: "KINDLING_DASHBOARD_PORT=8081 kindling dashboard",
    about: `
Listens on KINDLING_DASHBOARD_HOST (127.0.0.1) and KINDLING_DASHBOARD_PORT
(3002). Operators sign in with a token of KINDLING_DASHBOARD_TOKENS or with
Kinde (KINDLING_DASHBOARD_CLIENT_ID). With neither, it prints a token that is
valid until it stops. kindling start serves the dashboard too, if there is a
way to sign in.
`,
  },
];

const help = (name: string, example: string, about = "") => `${about}
SIGTERM and Ctrl-C stop it gracefully: it accepts no more work, finishes running
work within KINDLING_SHUTDOWN_TIMEOUT (20s) and exits with 0. A second signal
stops it immediately.

Examples:
  kindling ${name}
  ${example}
  REDIS_URL_FILE=/run/secrets/redis_url kindling ${name}

Exit codes:
  0    stopped gracefully
  1    unexpected error
  2    invalid settings, the flags file does not load, or the port is in use
  3    Redis is unreachable, or its configuration could lose data
  130  stopped immediately by a second Ctrl-C (143: by SIGTERM)`;

/** Adds `kindling server`, `worker`, `start` and `dashboard`. A deployment runs any number of each. */
export function addServices(program: Command, { terminal }: CommandContext): void {
  for (const { name, services, description, example, about } of commands) {
    program
      .command(name)
      .description(description)
      .addHelpText("after", help(name, example, about))
      .action(() => runServices(terminal, services));
  }
}
