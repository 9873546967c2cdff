import { countWords } from "../../words.ts";
import { bob } from "../cast.ts";
import { waitForCalm, waitForFlags } from "../lookups.ts";
import { expectAtMost, expectEqual } from "../mismatch.ts";
import { spent } from "../narrator.ts";
import type { Stage, Step } from "../step.ts";

const events = 1_000;

/** A thousand events, two fetches. */
export const burst: Step = {
  title: "A burst of 1,000 events for one user",
  async run(stage) {
    const { kinde, deliveries } = stage.kinde;
    kinde.createUser(bob);
    await waitForFlags(stage, bob.id, { tier: "enterprise", suspended: false }, "Bob's flags after his sign-up");
    await waitForCalm(stage);
    const before = userFetches(stage);
    const started = performance.now();
    for (let event = 1; event <= events; event += 1) kinde.suspendUser(bob.id, event % 2 === 0);
    stage.narrator.say(`Bob is suspended and let in again, ${countWords(events)} times on end: suspended in the end.`);
    await deliveries.settled();
    const acknowledged = performance.now() - started;
    await waitForFlags(stage, bob.id, { suspended: true }, "Bob's flags after the last event");
    await waitForCalm(stage);
    const fetches = userFetches(stage) - before;
    stage.narrator.say(
      `${countWords(events)} deliveries verified, kept and answered 200 within ${spent(acknowledged)}.`,
    );
    const statuses = deliveries.list().slice(-events);
    expectEqual("Deliveries answered 200", statuses.filter(({ state }) => state === "delivered").length, events);
    expectAtMost("Fetches of the user that the burst cost", fetches, 2);
    return `${countWords(events)} events, ${fetches} ${fetches === 1 ? "fetch" : "fetches"}, the last state stored`;
  },
};

function userFetches({ kinde }: Stage): number {
  return kinde.stats.calls["GET /api/v1/user"] ?? 0;
}
