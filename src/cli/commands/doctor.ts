import type { Command } from "commander";
import type { Definitions } from "kindling";
import { KindlingError } from "kindling";
import { type Config, loadConfig, loadStoreConfig, type StoreConfig } from "../../config.ts";
import { ConfigurationError } from "../../errors.ts";
import { createAccessTokens } from "../../kinde/access-token.ts";
import { loadDefinitions } from "../../load-definitions.ts";
import { createLog } from "../../log.ts";
import { type Check, checksOf } from "../../maintenance/check.ts";
import { checkFleet, checkWork } from "../../maintenance/check-fleet.ts";
import { checkCredentials, checkKindeDomain, webhookCheck } from "../../maintenance/check-kinde.ts";
import { checkRedisServer } from "../../maintenance/check-redis.ts";
import { connectRedis } from "../../redis/connection.ts";
import { readFleet } from "../../redis/fleet.ts";
import { createKeys } from "../../redis/keys.ts";
import { createFlows } from "../../service/create-flows.ts";
import { readStatus } from "../../status/read-status.ts";
import { openStore, placesOf, type Store } from "../../store.ts";
import { documents } from "../documents.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { createPaint, jsonOption, type Paint, type ReportOptions, report } from "../output.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { readVersion } from "../version.ts";
import { loadSettings } from "../with-store.ts";

const help = `
Checks the settings, the flags file, Redis (version, eviction, persistence,
permissions, latency, clock), Kinde (domain, keys, credentials, each scope,
webhook), the running processes and their work. Each problem comes with its
remedy. Changes nothing; may request an access token from Kinde.

Examples:
  kindling doctor
  kindling doctor --json | jq '.checks[] | select(.status != "ok")'

${exitCodesHelp("a check failed, be it settings, Redis or Kinde; warnings do not count", "none")}`;

/** Adds `kindling doctor`. */
export function addDoctor(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("doctor")
    .description("check settings, Redis, Kinde and the running processes")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: ReportOptions) => {
      const checks = await examine(terminal);
      const ok = checks.every(({ status }) => status !== "failed");
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.doctor, { ok, checks }, (found) => render(found.checks, paint));
      exitWith(ok ? exitCodes.done : exitCodes.found);
    });
}

async function examine(terminal: Terminal): Promise<Check[]> {
  const settings = checkSettings(terminal);
  const { config, kinde } = settings;
  if (config === undefined) return settings.checks;
  const flags = await checkFlags(config.flagsFile);
  const checks = [...settings.checks, ...flags.checks];
  const keys = createKeys(config.prefix);
  const { now } = terminal.world;
  const timeoutMs = config.redisTimeoutMs;
  for (const [index, place] of placesOf(config).entries()) {
    const redis = connectRedis({ url: place.url, timeoutMs, onError: () => undefined });
    const { domain, redisReplicas: replicas } = config;
    const ofRedis = await checkRedisServer({ redis, place, keys, timeoutMs, now, domain, replicas }).finally(() =>
      redis.disconnect(),
    );
    checks.push(...ofRedis.map((check) => (index === 0 ? check : { ...check, name: `Internal ${check.name}` })));
  }
  if (kinde !== undefined) {
    const { domain, kindeTimeoutMs } = kinde;
    const signal = terminal.stopSignal();
    checks.push(...(await checkKindeDomain({ ...terminal.world, domain, timeoutMs: kindeTimeoutMs, signal })));
  }
  const broken = checks.filter(({ status, name }) => status === "failed" && !name.startsWith("Setting"));
  if (broken.length > 0 && broken.some(({ name }) => name !== "Flags file")) {
    const names = broken.map(({ name }) => name).join(", ");
    return [...checks, checksOf("Credentials, fleet and work").skipped(`not checked before this works: ${names}`)];
  }
  return [...checks, ...(await checkDeployment(terminal, config, kinde, flags.definitions))];
}

function checkSettings(terminal: Terminal): { checks: Check[]; config?: StoreConfig; kinde?: Config } {
  const { ok, failed } = checksOf("Settings");
  try {
    const config = loadSettings(terminal, loadConfig);
    return { checks: [ok("valid")], config, kinde: config };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const checks = error.problems.map((problem) => failed(problem));
    try {
      return { checks, config: loadStoreConfig(terminal.env) };
    } catch {
      return { checks: [...checks, checksOf("Everything else").skipped("not checked before the settings are valid")] };
    }
  }
}

async function checkFlags(file: string): Promise<{ checks: Check[]; definitions?: Definitions }> {
  const { ok, failed } = checksOf("Flags file");
  try {
    const definitions = await loadDefinitions(file);
    return { checks: [ok(`${file}: ${Object.keys(definitions.flags).join(", ")}`)], definitions };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return { checks: [failed(error.message)] };
  }
}

async function checkDeployment(
  terminal: Terminal,
  config: StoreConfig,
  kinde: Config | undefined,
  definitions: Definitions | undefined,
): Promise<Check[]> {
  const { world } = terminal;
  // Without the domain: a check must not bind the store to it.
  const { domain: _domain, ...unbound } = config;
  const store = await openStore({ ...unbound, clientId: undefined }, world, createLog("silent"));
  try {
    const ofKinde = kinde === undefined ? [] : await checkApplication(terminal, kinde, store, definitions);
    const [members, status] = await Promise.all([readFleet(store), readStatus(store, config, world.now())]);
    const own = { version: readVersion(), definitions: definitions?.schema };
    return [...ofKinde, ...checkFleet(members, own), ...checkWork(status)];
  } finally {
    await store.close();
  }
}

async function checkApplication(
  terminal: Terminal,
  config: Config,
  store: Store,
  definitions: Definitions | undefined,
): Promise<Check[]> {
  const { world } = terminal;
  const signal = terminal.stopSignal();
  const { domain: origin, kindeTimeoutMs: timeoutMs, clientId, clientSecret, audience } = config;
  const tokens = createAccessTokens({
    ...world,
    store: store.accessToken,
    origin,
    clientId,
    clientSecret,
    audience,
    timeoutMs,
  });
  const writes = config.api.tokens.some(({ scopes }) => scopes.has("write"));
  const checks = await checkCredentials(tokens, { keep: config.profile, definitions, writes }, signal);
  if (checks.some(({ name, status }) => name === "Kinde credentials" && status === "failed")) return checks;
  if (definitions === undefined) return checks;
  const flows = createFlows({ config, world, store, definitions });
  try {
    return [...checks, webhookCheck(await flows.checkWebhook({ priority: "webhook", signal }), config.webhookUrl)];
  } catch (error) {
    if (!(error instanceof KindlingError)) throw error;
    return [...checks, checksOf("Kinde webhook").warning(`not checked: ${error.message}`)];
  }
}

const marks = { ok: "ok", warning: "warning", failed: "FAILED", skipped: "skipped" } as const;
const column = "         ";

function render(checks: readonly Check[], paint: Paint): string {
  const paints = { ok: paint.good, warning: paint.notice, failed: paint.bad, skipped: paint.dim } as const;
  const lines = checks.flatMap(({ name, status, message, remedy }) => [
    `${paints[status](marks[status].padEnd(column.length - 2))}  ${paint.bold(name)}: ${message}`,
    ...(remedy === undefined ? [] : [`${column}→ ${remedy}`]),
  ]);
  const count = (wanted: Check["status"]) => checks.filter(({ status }) => status === wanted).length;
  return [...lines, "", `${count("failed")} failed, ${count("warning")} with a warning, ${count("ok")} ok.`].join("\n");
}
