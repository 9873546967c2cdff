import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createEmulator } from "./create-emulator.ts";
import { EmulatorError } from "./emulator-error.ts";
import type { ApplicationInput, Emulator, LogEntry } from "./types.ts";

/** Streams and stop signal of the command. */
export interface CommandLine {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
  /** Stops the emulator when aborted. */
  signal: AbortSignal;
}

const help = `Usage: kinde-emulator [options]

Emulates Kinde on localhost: sign-in, tokens, Management API, webhooks and
faults. State is kept in memory. Press Ctrl-C to stop.

Options:
  --users <count>    number of seeded users (default: 100)
  --seed <number>    seed of the generated users (default: 1)
  --port <port>      TCP port, 0 for any free port (default: 4000)
  --host <address>   address to listen on (default: 127.0.0.1)
  --webhook <url>    deliver every event to this URL
  --client-id <id>   client id of the application users sign in to
  --client-secret-file <file>
                     file with its client secret, 40 to 60 letters and digits;
                     /dev/stdin reads it from standard input
  --callback-url <url>
                     a callback URL it allows; repeatable (default: any URL on
                     localhost)
  --logout-url <url>
                     a logout URL it allows; repeatable (default: any URL on
                     localhost)
  --allow-host <name>
                     accept requests to this host name; repeatable
  --allow-production
                     start even with NODE_ENV=production
  --verbose          log calls, events and deliveries to standard error, as JSON
                     lines
  -h, --help         show this help

Examples:
  kinde-emulator --users 1000
  kinde-emulator --port 0 --webhook http://localhost:3000/webhooks/kinde
  curl http://127.0.0.1:4000/__emulator/kinde/createUser \\
    --json '[{"email": "a@example.com"}]'

Exit codes:
  0    stopped by a signal, or help shown
  1    unexpected error
  2    invalid arguments, or the address is not available
`;

const options = {
  users: { type: "string", default: "100" },
  seed: { type: "string", default: "1" },
  port: { type: "string", default: "4000" },
  host: { type: "string", default: "127.0.0.1" },
  webhook: { type: "string" },
  "client-id": { type: "string" },
  "client-secret-file": { type: "string" },
  "callback-url": { type: "string", multiple: true },
  "logout-url": { type: "string", multiple: true },
  "allow-host": { type: "string", multiple: true, default: [] as string[] },
  "allow-production": { type: "boolean", default: false },
  verbose: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/**
 * Runs the `kinde-emulator` command until `signal` is aborted.
 *
 * @param args arguments without the interpreter and the script
 * @returns the exit code: 0, or 2 after writing the problem to standard error in one line
 */
export async function runEmulator(args: readonly string[], { stdout, stderr, signal }: CommandLine): Promise<number> {
  const refuse = (problem: string) => {
    stderr.write(`error: ${problem}\n`);
    return 2;
  };
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (error) {
    return refuse(`${error instanceof Error ? error.message.split("\n")[0] : error} See --help.`);
  }
  if (values.help) {
    stdout.write(help);
    return 0;
  }
  const { host, webhook, verbose } = values;
  const users = wholeNumber(values.users, 10_000_000);
  const seed = wholeNumber(values.seed, 2 ** 31);
  const port = wholeNumber(values.port, 65_535);
  if (users === undefined) return refuse("--users must be a whole number from 0 to 10000000.");
  if (seed === undefined) return refuse(`--seed must be a whole number from 0 to ${2 ** 31}.`);
  if (port === undefined) return refuse("--port must be a whole number from 0 to 65535.");
  if (webhook !== undefined && !(/^https?:\/\//.test(webhook) && URL.canParse(webhook))) {
    return refuse("--webhook must be a URL such as http://localhost:3000/webhooks/kinde.");
  }
  let emulator: Emulator;
  try {
    const application = applicationOf(values);
    const onEvent = (entry: LogEntry) => stderr.write(`${JSON.stringify(entry)}\n`);
    emulator = await createEmulator({
      users,
      seed,
      port,
      host,
      allowedHosts: values["allow-host"],
      allowProduction: values["allow-production"],
      application,
      ...(verbose && { onEvent }),
    });
  } catch (error) {
    const isRefusal = error instanceof EmulatorError && REFUSALS.includes(error.code);
    const problem = isRefusal ? error.message : addressProblem(error, host, port);
    if (problem === undefined) throw error;
    return refuse(problem);
  }
  try {
    if (webhook !== undefined) emulator.webhooks.register({ url: webhook });
    stdout.write(`${welcome(emulator, webhook)}\n`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    return 0;
  } finally {
    await emulator.close();
  }
}

const REFUSALS: readonly string[] = ["production_refused", "invalid_application"];

function applicationOf(values: ReturnType<typeof parse>): ApplicationInput {
  const { "client-id": clientId, "client-secret-file": secretFile } = values;
  const { "callback-url": callbackUrls, "logout-url": logoutUrls } = values;
  return {
    ...(clientId !== undefined && { clientId }),
    ...(secretFile !== undefined && { clientSecret: readSecret(secretFile) }),
    ...(callbackUrls && { callbackUrls }),
    ...(logoutUrls && { logoutUrls }),
  };
}

// Not an argument itself: every user of a machine can read the arguments of its processes.
function readSecret(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? ` (${cause.code})` : "";
    throw new EmulatorError("invalid_application", `--client-secret-file cannot be read${why}: ${file}`, { cause });
  }
}

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options, strict: true }).values;
}

function wholeNumber(text: string, max: number): number | undefined {
  return /^\d+$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}

const addressProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: "is taken by another process: choose another port",
  EACCES: "requires more privileges than this process has: choose a port above 1023",
  EADDRNOTAVAIL: "is not an address of this machine",
  ENOTFOUND: "is not an address of this machine",
};

function addressProblem(error: unknown, host: string, port: number): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  const problem = addressProblems[String(error.code)];
  return problem && `${host}:${port} ${problem}.`;
}

function welcome(emulator: Emulator, webhook: string | undefined): string {
  const { url, clientId, clientSecret, kinde } = emulator;
  const [application] = emulator.applications.list();
  const users = `${kinde.userCount.toLocaleString("en-US")} user${kinde.userCount === 1 ? "" : "s"}`;
  return [
    `Kinde emulator: ${url} (${users})`,
    "",
    "Sign-in, for Kinde's SDKs:",
    `  export KINDE_ISSUER_URL=${url}`,
    `  export KINDE_CLIENT_ID=${application?.clientId}`,
    `  export KINDE_CLIENT_SECRET=${application?.clientSecret}`,
    "",
    "Management API, for Kindling and the management SDK:",
    `  export KINDE_DOMAIN=${url}`,
    `  export KINDE_MANAGEMENT_CLIENT_ID=${clientId}`,
    `  export KINDE_MANAGEMENT_CLIENT_SECRET=${clientSecret}`,
    "",
    "Control:",
    `  All commands:   curl ${url}`,
    `  Current state:  curl ${url}/__emulator`,
    `  User ids:       curl '${url}/__emulator/users?limit=5'`,
    `  Sign-in:        curl ${url}/__emulator/sign-in \\`,
    `                    --json '{"as": "<user id>"}'`,
    ...(webhook === undefined
      ? [
          `  New webhook:    curl ${url}/__emulator/webhooks \\`,
          `                    --json '{"url": "<URL of the endpoint>"}'`,
        ]
      : ["", `Webhooks: all events are delivered to ${withoutCredentials(webhook)}`]),
  ].join("\n");
}

function withoutCredentials(text: string): string {
  const url = new URL(text);
  const secret = url.username !== "" || url.password !== "";
  Object.assign(url, { username: "", password: "" });
  return secret ? `${url.protocol}//***@${url.href.slice(url.protocol.length + 2)}` : text;
}
