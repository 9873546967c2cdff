import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Emulator } from "kinde-emulator";
import { explainError } from "../src/cli/exit-codes.ts";
import { align, printable } from "../src/cli/output.ts";
import { createProcessTerminal, Interrupted, type Terminal } from "../src/cli/terminal.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { ConfigurationError } from "../src/errors.ts";
import { freePort } from "../test/support/free-port.ts";
import { ExampleError, type RunningExample, startExample } from "./start-example.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const names = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
  .map(({ name }) => name);

const help = `Usage: npm run example -- [name] [options]

Starts an example app with everything it needs: Redis, an emulated Kinde, and
Kindling. No Kinde account and no settings are needed. With REDIS_URL set, it
uses that Redis under a prefix of its own and removes its keys afterwards.

Examples: ${names.join(", ")} (default: sveltekit)

Options:
  --port <port>  port of the app (default: 5173 or any free one)
  --exit         exit once the app answers
  -h, --help     show this help
`;

const terminal = createProcessTerminal(process);
try {
  await run(terminal, process.argv.slice(2));
} catch (error) {
  if (error instanceof Interrupted) process.exit(error.exitCode);
  const { exitCode, lines } = explainError(error);
  for (const line of lines) terminal.stderr.write(`error: ${printable(line)}\n`);
  if (error instanceof ExampleError) terminal.stderr.write(error.output);
  process.exit(exitCode);
}
process.exit(0);

async function run({ env, stdout, stopSignal }: Terminal, args: string[]): Promise<void> {
  const { name, port, exit, isHelp } = parse(args);
  if (isHelp) {
    stdout.write(help);
    return;
  }
  const signal = stopSignal();
  const say = (line: string) => void stdout.write(`${line}\n`);
  const own = env.REDIS_URL ? undefined : await startEmbeddedRedis({ say });
  let onSignUp = () => {};
  try {
    say(`Starting ${name} …`);
    const example = await startExample({
      name,
      redisUrl: env.REDIS_URL || (own?.url ?? ""),
      port: port ?? (await freePort({ preferred: 5173, host: "localhost" })),
      emulator: {
        port: await freePort({ preferred: 4000, host: "localhost" }),
        onEvent: (entry) => entry.type === "event" && entry.event === "user.created" && onSignUp(),
      },
      onOutput: (text) => stdout.write(text),
      signal,
    });
    const { emulator } = example.kindling;
    const known = new Set(emulator.kinde.userIds());
    onSignUp = () => {
      const created = [...emulator.kinde.userIds()].filter((id) => !known.has(id));
      for (const id of created) say(`Somebody signed up. To upgrade them: ${upgrade(emulator, id)}`);
      for (const id of created) known.add(id);
    };
    try {
      say(invitation(example));
      if (!exit && !signal.aborted) await once(signal, "abort");
    } finally {
      await example.close();
    }
  } finally {
    await own?.close();
  }
}

function parse(args: string[]) {
  const problem = (text: string) => new ConfigurationError([`${text} See npm run example -- --help.`]);
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { port: { type: "string" }, exit: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    const [name = "sveltekit", ...rest] = positionals;
    if (!names.includes(name) || rest.length > 0) throw problem(`Name one example: ${names.join(", ")}.`);
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
      throw problem("--port must be a whole number from 1 to 65535.");
    }
    return { name, port, exit: values.exit === true, isHelp: values.help === true };
  } catch (error) {
    if (error instanceof TypeError) throw problem(`${error.message.split(". ")[0]}.`);
    throw error;
  }
}

function act({ url }: Emulator, action: string, ...args: unknown[]): string {
  return `curl ${url}/__emulator/kinde/${action} --json '${JSON.stringify(args)}'`;
}

function upgrade(emulator: Emulator, userId: string): string {
  return act(emulator, "setProperties", userId, { plan_tier: "pro" });
}

function invitation({ url, kindling: { emulator, url: service } }: RunningExample): string {
  const addresses = align([
    ["App", url],
    ["Kinde (emulated)", emulator.url],
    ["Kindling", service],
  ]);
  const actions = align([
    ["Upgrade Ada by hand", upgrade(emulator, "kp_ada")],
    ["Downgrade her", act(emulator, "setProperties", "kp_ada", { plan_tier: null })],
    ["Make Bob an admin", act(emulator, "setRoles", "kp_bob", "org_northwind", ["owner"])],
    ["Suspend Carol", act(emulator, "suspendUser", "kp_carol")],
    ["See all actions", `curl ${emulator.url}`],
  ]);
  return `
${addresses}

Open the app and sign up, or sign in as Ada (an admin), Bob (a member of her team) or Carol (no team).
Then change something in Kinde. The page of the SvelteKit example changes at once, the others when you reload them:

${actions}

Press Ctrl-C to stop.`;
}
