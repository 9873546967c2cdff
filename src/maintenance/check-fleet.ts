import type { FleetMember } from "../redis/fleet.ts";
import type { Status } from "../status/read-status.ts";
import { durationWords, plural } from "../words.ts";
import { type Check, checksOf } from "./check.ts";
import { clockCheck } from "./check-redis.ts";

/** What `kindling doctor` itself runs with. */
export interface OwnInstallation {
  version: string;
  /** Fingerprint of the definitions in the flags file; `undefined` if it does not load. */
  definitions: string | undefined;
}

/** Checks the running processes: which services there are, their versions, definitions and clocks. */
export function checkFleet(members: readonly FleetMember[], { version, definitions }: OwnInstallation): Check[] {
  const { ok, warning } = checksOf("Fleet");
  const running = (service: string) => members.filter(({ services }) => services.includes(service)).length;
  const words = `${plural(running("server"), "server")}, ${plural(running("worker"), "worker")}`;
  const absent = ["server", "worker"].filter((service) => running(service) === 0);
  const checks = [
    absent.length === 0
      ? ok(words)
      : warning(`${words}: no ${absent.join(" and no ")} runs`, "Start one: kindling start, server or worker."),
  ];
  const versions = [...new Set([version, ...members.map((member) => member.version)])].sort();
  const about = checksOf("Versions");
  checks.push(
    versions.length === 1
      ? about.ok(version)
      : about.warning(`${versions.join(", ")} run side by side`, "Finish the deployment, unless it is under way."),
  );
  checks.push(...checkDefinitions(members, definitions));
  const off = members.filter(({ clockAheadMs }) => Math.abs(clockAheadMs) >= 2_000);
  // The sign is turned around: the check says how far the other clock is ahead.
  checks.push(...off.map(({ host, clockAheadMs }) => clockCheck(`Redis clock as ${host} sees it`, -clockAheadMs)));
  return checks;
}

function checkDefinitions(members: readonly FleetMember[], own: string | undefined): Check[] {
  const { ok, warning } = checksOf("Definitions");
  const places = new Map<string, string[]>();
  for (const { definitions, host } of members)
    if (definitions !== undefined) places.set(definitions, [...(places.get(definitions) ?? []), host]);
  const words = [...places].map(([fingerprint, hosts]) => `${fingerprint} on ${[...new Set(hosts)].join(", ")}`).sort();
  if (places.size === 0) return [];
  if (places.size > 1) {
    const remedy = "Deploy the same flags file to all workers: each of them replaces the others' flags.";
    return [warning(`workers run with different flags files: ${words.join("; ")}`, remedy)];
  }
  if (own === undefined || places.has(own)) return [ok(words.join())];
  const remedy = "Deploy the workers with this flags file, or let KINDLING_FLAGS name theirs.";
  return [warning(`the workers run with another flags file: ${words.join()}, here ${own}`, remedy)];
}

const lateMs = 300_000;
const seeFailed = "See the reasons: kindling failed.";

/** Checks the work: how far behind it is, what failed, and the warnings of `kindling status`. */
export function checkWork({
  ledger,
  failedDeliveries,
  warnings,
}: Pick<Status, "ledger" | "failedDeliveries" | "warnings">): Check[] {
  const { ok, warning } = checksOf("Work");
  const failed = ledger.users.failed + ledger.fanouts.failed;
  const age = Math.max(ledger.users.oldestAgeMs, ledger.fanouts.oldestAgeMs);
  const late = age > lateMs;
  return [
    late
      ? warning(
          `the oldest event waits for ${durationWords(age)}`,
          "Look at the call budget and the queues: kindling status.",
        )
      : ok("no event waits for long"),
    ...(failed > 0 ? [warning(`${plural(failed, "refresh", "refreshes")} failed`, seeFailed)] : []),
    ...(failedDeliveries > 0
      ? [warning(`${plural(failedDeliveries, "delivery", "deliveries")} of changed flags failed`, seeFailed)]
      : []),
    // The webhook and failures have checks of their own.
    ...warnings
      .filter(({ code }) => !code.startsWith("webhook") && code !== "failed")
      .map(({ code, message }) => checksOf(`Warning ${code}`).warning(message)),
  ];
}
