import { expect } from "vitest";
import { postUpdate } from "../support/post-event.ts";
import type { Stack } from "../support/stack.ts";
import { until } from "../support/until.ts";

/** Events that go on until they are stopped, and what became of them. */
export interface Traffic {
  /** Users with the number of their last acknowledged change. */
  acknowledged: ReadonlyMap<string, number>;
  /** Events that were answered with 200, and all others. */
  counts: { accepted: number; refused: number };
  /** Longest time between two acknowledgements, in milliseconds. */
  longestGapMs(): number;
  stop(): Promise<void>;
}

const regionOf = (change: number) => `region-${change}`;

/** Changes a user of Kinde at a time, and delivers the event once: only the ledger can know of it then. */
export function startTraffic({ emulator, webhookUrl }: Stack, users: number): Traffic {
  const ids = Array.from({ length: users }, () => emulator.kinde.createUser().id);
  const acknowledged = new Map<string, number>();
  const counts = { accepted: 0, refused: 0 };
  let stopped = false;
  let lastAt = performance.now();
  let longest = 0;

  const change = async (number: number) => {
    const id = ids[number % ids.length] ?? "";
    emulator.kinde.setProperties(id, { compliance_region: regionOf(number) });
    const { status } = await postUpdate(emulator, webhookUrl, id);
    if (status !== 200) {
      counts.refused += 1;
      return;
    }
    counts.accepted += 1;
    acknowledged.set(id, Math.max(number, acknowledged.get(id) ?? 0));
    longest = Math.max(longest, performance.now() - lastAt);
    lastAt = performance.now();
  };
  // A few at a time, so that an outage does not stop the others.
  const lanes = Array.from({ length: 4 }, async (_, lane) => {
    for (let number = lane; !stopped; number += 4) {
      await change(number);
      // Sets the rate of the traffic.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  return {
    acknowledged,
    counts,
    longestGapMs: () => longest,
    async stop() {
      stopped = true;
      await Promise.all(lanes);
    },
  };
}

/** Waits until every record has the last acknowledged change of its user, or a later one. */
export async function expectKept({ record }: Stack, { acknowledged }: Traffic): Promise<void> {
  expect(acknowledged.size).toBeGreaterThan(0);
  await until(async () => {
    const behind: string[] = [];
    for (const [id, change] of acknowledged) {
      const stored = (await record(id)) as { flags?: { region?: string | null } } | null;
      const number = Number(/^region-(\d+)$/.exec(stored?.flags?.region ?? "")?.[1] ?? -1);
      if (number < change) behind.push(`${id}: ${number} < ${change}`);
    }
    expect(behind).toEqual([]);
  }, 90_000);
}
