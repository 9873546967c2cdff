import { readFileSync } from "node:fs";
import { errorCode } from "./errors.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Options for {@link readEnvironment}. */
export interface ReadEnvironmentOptions {
  /** Settings that exist. */
  names: readonly string[];
  /** Those that `<name>_FILE` can give as a file. */
  secrets: readonly string[];
}

/**
 * Reads the variables that are set, with the secrets of `<name>_FILE` variables.
 *
 * @returns the settings by name, and one line per unknown `KINDLING_` variable or unreadable file
 */
export function readEnvironment(
  env: Environment,
  { names, secrets }: ReadEnvironmentOptions,
): { settings: Record<string, string>; problems: string[] } {
  const known = [...names, ...secrets.map((secret) => `${secret}_FILE`)];
  // `docker compose` passes an unset variable as an empty one.
  const settings = Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "" && !isServiceLink(...entry),
    ),
  );
  const problems = Object.keys(settings).flatMap((name) => unknownSetting(name, known) ?? []);
  for (const name of secrets) {
    const variable = `${name}_FILE`;
    const file = settings[variable];
    if (file === undefined) continue;
    if (settings[name] !== undefined) problems.push(`${variable} and ${name} are both set: keep one of them`);
    else {
      const secret = readSecret(file);
      // Without the value: it can be the secret, given where its file belongs.
      if ("problem" in secret) problems.push(`${variable} ${secret.problem}`);
      else settings[name] = secret.text;
    }
  }
  return { settings, problems };
}

const maxSecretBytes = 65_536;

function readSecret(file: string): { text: string } | { problem: string } {
  try {
    const text = readFileSync(file, "utf8").replace(/\r?\n$/, "");
    if (text === "") return { problem: "names an empty file" };
    return text.length > maxSecretBytes ? { problem: "names a file larger than 64 KiB" } : { text };
  } catch (error) {
    return { problem: `names a file that cannot be read (${errorCode(error)})` };
  }
}

// KINDLING_URL is an app's, which can share a .env file with the service. The others: those of docker-compose.yml and of the
// tests, and what Kubernetes sets for a service whose name begins with "kindling".
const foreign = /^KINDLING_(URL|SERVERS|WORKERS|TEST_\w+|\w*SERVICE_(HOST|PORT(_\w+)?)|\w*PORT_\d+_(TCP|UDP)(_\w+)?)$/;

/** Kubernetes also sets `KINDLING_DASHBOARD_PORT=tcp://…` for a service named `kindling-dashboard`. */
function isServiceLink(name: string, value: string | undefined = ""): boolean {
  return /^KINDLING_\w*PORT$/.test(name) && /^(tcp|udp):\/\//.test(value);
}

function unknownSetting(name: string, known: readonly string[]): string | undefined {
  if (!name.startsWith("KINDLING_") || known.includes(name) || foreign.test(name)) return undefined;
  const nearest = nearestName(name, known);
  const advice = nearest === undefined ? "docs/operations.md lists the settings" : `did you mean ${nearest}?`;
  return `${name} is not a setting: ${advice}`;
}

function nearestName(name: string, known: readonly string[]): string | undefined {
  const distances = known.map((one) => ({ one, distance: editDistance(name, one) }));
  const nearest = distances.reduce((best, next) => (next.distance < best.distance ? next : best));
  // Names that differ by more than a third of their letters are no typing mistake.
  return nearest.distance <= (name.length - "KINDLING_".length) / 3 + 1 ? nearest.one : undefined;
}

/** The Levenshtein distance. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
