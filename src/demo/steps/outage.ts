import { setTimeout as delay } from "node:timers/promises";
import { plural } from "../../words.ts";
import { ada } from "../cast.ts";
import { waitForCalm } from "../lookups.ts";
import { expectEqual } from "../mismatch.ts";
import { spent } from "../narrator.ts";
import type { Stage, Step } from "../step.ts";

const newcomers = 100;
const downMs = 1_000;

/** What is acknowledged while nothing can be fetched is kept until it can. */
export const outage: Step = {
  title: "Kinde goes down while webhooks come in, and comes back",
  async run(stage) {
    const { narrator, kinde } = stage;
    breakKinde(stage);
    narrator.say("Every call to Kinde now fails: tokens, signing keys and the Management API answer 503.");
    const ids = Array.from({ length: newcomers }, (_, index) => signUpOne(stage, index));
    await kinde.deliveries.settled();
    const attempts = kinde.deliveries.list().slice(-newcomers);
    const firstTime = attempts.filter(({ statuses }) => statuses.length === 1 && statuses[0] === 200).length;
    expectEqual("Deliveries acknowledged at the first attempt during the outage", firstTime, newcomers);
    await delay(downMs, undefined, { signal: stage.signal }).catch(() => undefined);
    const { size } = await stage.ledger.size();
    expectEqual("Users that the ledger holds during the outage", size, newcomers);
    narrator.say(
      `${plural(newcomers, "user")} signed up meanwhile: all acknowledged, all in the ledger, none fetched.`,
    );
    expectEqual("Status of a lookup during the outage", (await stage.reader.get(ada.id)).status, "present");
    narrator.say("Lookups go on: Ada's flags are answered from Redis.");

    kinde.faults.clear();
    const started = performance.now();
    await waitForCalm(stage);
    const recovered = performance.now() - started;
    await expectAllStored(stage, ids);
    return `nothing lost: ${plural(newcomers, "user")} stored ${spent(recovered)} after Kinde came back`;
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
  const truth = ids.map((id) => kinde.user(id)?.properties.plan_tier);
  expectEqual("Tiers stored after the outage", stored, truth);
}
