import { setTimeout as delay } from "node:timers/promises";
import { plural } from "../../words.ts";
import { expectEqual, showReader, waitForEmptyLedger } from "../checks.ts";
import { spent } from "../narrator.ts";
import { ada, type Stage, type Step } from "../stage.ts";

const signUps = 100;
const downMs = 1_000;

/** Events acknowledged during an outage of Kinde are processed after it. */
export const outage: Step = {
  title: "Kinde goes down and comes back",
  async run(stage) {
    const { narrator, kinde } = stage;
    breakKinde(stage);
    narrator.say("Every call to Kinde now fails with 503: tokens, signing keys and the Management API.");
    const ids = Array.from({ length: signUps }, (_, index) => signUpOne(stage, index));
    await kinde.deliveries.settled();
    const deliveries = kinde.deliveries.list().slice(-signUps);
    const firstTime = deliveries.filter(({ statuses }) => statuses.length === 1 && statuses[0] === 200).length;
    expectEqual("Deliveries acknowledged at the first attempt during the outage", firstTime, signUps);
    await delay(downMs, undefined, { signal: stage.signal }).catch(() => undefined);
    const { size } = await stage.ledger.size();
    expectEqual("Users in the ledger during the outage", size, signUps);
    narrator.say(
      `${plural(signUps, "user")} sign up meanwhile. Every webhook is acknowledged, every user is in the ledger.`,
    );
    expectEqual("Status of a read during the outage", (await stage.reader.get(ada.id)).status, "present");
    narrator.say("Reads still work:");
    await showReader(stage, ada.id);

    kinde.faults.clear();
    const started = performance.now();
    await waitForEmptyLedger(stage);
    const recovered = performance.now() - started;
    await expectAllStored(stage, ids);
    return `Nothing is lost: ${plural(signUps, "user")} stored ${spent(recovered)} after Kinde came back`;
  },
};

function breakKinde({ kinde: { faults } }: Stage): void {
  faults.set({ kind: "error", status: 503 });
  faults.set({ kind: "error", status: 503, path: "/oauth2/**" });
  faults.set({ kind: "jwks_down" });
}

function signUpOne({ kinde: { kinde } }: Stage, index: number): string {
  return kinde.createUser({ properties: { plan_tier: index % 2 === 0 ? "pro" : "enterprise" } }).id;
}

async function expectAllStored({ kinde: { kinde }, reader }: Stage, ids: readonly string[]): Promise<void> {
  const answers = await reader.getMany(ids);
  const stored = answers.map(({ status, flags }) => (status === "present" ? flags.tier : status));
  const expected = ids.map((id) => kinde.user(id)?.properties.plan_tier);
  expectEqual("Tiers stored after the outage", stored, expected);
}
