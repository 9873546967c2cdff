import type { Command } from "commander";
import { createEmulator, type Emulator, type LogEntry } from "../../emulator/index.ts";
import { parseHttpUrl, wholeNumber } from "../arguments.ts";
import { align } from "../output/align.ts";
import { plural } from "../output/words.ts";
import type { CommandContext } from "../terminal.ts";

interface EmulatorCommandOptions {
  users: number;
  seed: number;
  port: number;
  host: string;
  webhook?: string;
  verbose?: boolean;
}

const help = `
Ctrl-C stops it; everything it holds is gone then.

Examples:
  kindling emulator --users 1000
  kindling emulator --port 0 --webhook http://localhost:3000/webhooks/kinde
  curl -X POST http://127.0.0.1:4000/__emulator/kinde/createUser -d '[{"email": "a@example.com"}]'

Exit codes:
  0    stopped as asked
  1    unexpected failure
  2    bad arguments, or the port is taken`;

/** `kindling emulator`: Kinde on localhost, for development and tests. */
export function addEmulator(program: Command, { terminal }: CommandContext): void {
  program
    .command("emulator")
    .description("Kinde on localhost: tokens, Management API, webhooks, faults on demand")
    .option("--users <count>", "users to begin with", wholeNumber(0, 10_000_000), 100)
    .option("--seed <number>", "another seed, another population", wholeNumber(0, 2 ** 31), 1)
    .option("--port <port>", "TCP port, 0 for any free one", wholeNumber(0, 65_535), 4000)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--webhook <url>", "deliver every event there", parseHttpUrl)
    .option("--verbose", "tell every call, event and delivery on standard error")
    .addHelpText("after", help)
    .action(async ({ webhook, verbose, ...options }: EmulatorCommandOptions) => {
      const stop = terminal.stopSignal();
      const onEvent = (entry: LogEntry) => terminal.stderr.write(`${JSON.stringify(entry)}\n`);
      const emulator = await createEmulator({ ...options, ...(verbose === true && { onEvent }) });
      try {
        if (webhook !== undefined) emulator.webhooks.register({ url: webhook });
        terminal.stdout.write(`${welcome(emulator, webhook)}\n`);
        if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
      } finally {
        await emulator.close();
      }
    });
}

function welcome({ url, clientId, clientSecret, kinde }: Emulator, webhook: string | undefined): string {
  return [
    `Kinde, emulated, listens on ${url} with ${plural(kinde.userCount, "user")}.`,
    "",
    "Environment for Kindling:",
    `  export KINDE_DOMAIN=${url}`,
    `  export KINDE_MANAGEMENT_CLIENT_ID=${clientId}`,
    `  export KINDE_MANAGEMENT_CLIENT_SECRET=${clientSecret}`,
    "",
    "Control:",
    align([
      [`curl ${url}`, "everything it can be told, with examples"],
      [`curl ${url}/__emulator`, "how it stands"],
      [`curl '${url}/__emulator/users?limit=5'`, "some user ids"],
    ]),
    "",
    webhook === undefined
      ? `Webhooks: none. curl -X POST ${url}/__emulator/webhooks -d '{"url": "http://localhost:3000/webhooks/kinde"}'`
      : `Webhooks: every event goes to ${webhook}`,
  ].join("\n");
}
