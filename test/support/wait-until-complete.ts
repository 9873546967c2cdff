import { setTimeout as delay } from "node:timers/promises";
import type { Store } from "../../src/store.ts";

/** Waits until the first sweep has filled the store. */
export async function waitUntilComplete({ completeness }: Pick<Store, "completeness">): Promise<void> {
  while ((await completeness.since()) === undefined) await delay(250);
}
