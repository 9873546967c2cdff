import { countWords, plural } from "../../words.ts";
import { expectAtMost, expectEqual, showRecord, waitForEmptyLedger, waitForFlags } from "../checks.ts";
import { spent } from "../narrator.ts";
import { bob, type Stage, type Step } from "../stage.ts";

const events = 1_000;
/** How long events can postpone a refresh, in milliseconds: the default of `KINDLING_BURST_MAX`. */
const postponedMs = 2_000;

/** A burst of events for one user costs at most two fetches, and one more for each two seconds that it lasts. */
export const burst: Step = {
  title: `A burst of ${countWords(events)} events`,
  async run(stage) {
    const { kinde, deliveries } = stage.kinde;
    kinde.createUser(bob);
    await waitForFlags(stage, bob.id, { tier: "enterprise", suspended: false }, "Bob's flags after the sign-up");
    await waitForEmptyLedger(stage);
    const before = userFetches(stage);
    const started = performance.now();
    for (let event = 1; event <= events; event += 1) kinde.suspendUser(bob.id, event % 2 === 0);
    stage.narrator.say(`Bob signs up and is then suspended and unsuspended, ${plural(events, "event")} in a row.`);
    await deliveries.settled();
    const acknowledged = performance.now() - started;
    await waitForFlags(stage, bob.id, { suspended: true }, "Bob's flags after the last event");
    await waitForEmptyLedger(stage);
    const fetches = userFetches(stage) - before;
    stage.narrator.say(
      `Kindling verifies, records and acknowledges ${plural(events, "webhook")} in ${spent(acknowledged)}:`,
    );
    await showRecord(stage, bob.id);
    const statuses = deliveries.list().slice(-events);
    expectEqual("Deliveries answered 200", statuses.filter(({ state }) => state === "delivered").length, events);
    // On a slow machine the burst lasts longer, and the user does not wait for its end.
    expectAtMost("Fetches of the user during the burst", fetches, 2 + Math.floor(acknowledged / postponedMs));
    return `${plural(events, "event")}, ${fetches} ${fetches === 1 ? "fetch" : "fetches"} from Kinde, and the last state is stored`;
  },
};

function userFetches({ kinde }: Stage): number {
  return kinde.stats.calls["GET /api/v1/user"] ?? 0;
}
