import { countWords, plural } from "../../words.ts";
import { bob } from "../cast.ts";
import { showFlags, waitFor, waitForFlags } from "../lookups.ts";
import { expectEqual } from "../mismatch.ts";
import { spent } from "../narrator.ts";
import type { Stage, Step } from "../step.ts";

/** A property is changed in Kinde itself: the sweep finds it, and with it everyone who never announced themselves. */
export const handEdit: Step = {
  title: "An admin edits plan_tier in Kinde by hand: no webhook, and the sweep finds it",
  async run(stage) {
    const { kinde, narrator, reader } = stage;
    const deliveries = kinde.deliveries.list().length;
    kinde.kinde.setProperties(bob.id, { plan_tier: "pro" });
    expectEqual("Bob's tier before the sweep", (await reader.get(bob.id)).flags.tier, "enterprise");
    narrator.say(
      `Bob is "pro" in Kinde now, and still "enterprise" here. A sweep, due every 15 minutes, is run at once.`,
    );
    const started = performance.now();
    const [{ users, different, missing, calls }, took] = await Promise.all([
      sweep(stage),
      waitForFlags(stage, bob.id, { tier: "pro", onboarded: true }, "Bob's flags after the sweep").then(
        () => performance.now() - started,
      ),
    ]);
    await showFlags(stage, bob.id);
    const everyone = [...kinde.kinde.userIds()];
    expectEqual("Users the sweep has compared", users, everyone.length);
    expectEqual("Users the sweep has found different", different, 1);
    narrator.say(
      `${countWords(users)} users compared in ${plural(calls, "call")}: Bob differs, ${countWords(missing)} had been imported and never announced.`,
    );
    const stored = (await reader.getMany(everyone)).filter(({ status }) => status === "present").length;
    expectEqual("Users with a record after the sweep", stored, everyone.length);
    const again = await sweep(stage);
    expectEqual("What the next sweep finds", again.different + again.missing, 0);
    expectEqual("Calls to Kinde of a sweep that finds nothing", again.calls, 1);
    expectEqual("Webhooks delivered meanwhile", kinde.deliveries.list().length - deliveries, 0);
    return `Bob was right ${spent(took)} after the sweep began; the next one found nothing, in ${plural(again.calls, "call")}`;
  },
};

/** Sweeps once, and waits until everyone it found is refreshed. */
async function sweep({ kinde, queues, sweeps, signal }: Stage) {
  const before = (await sweeps.last())?.mark.number;
  const searches = () => kinde.stats.calls["GET /api/v1/search/users"] ?? 0;
  const earlier = searches();
  await queues.enqueueSweep();
  const isOver = async () => (await sweeps.last())?.mark.number !== before;
  await waitFor(isOver, true, { what: "The sweep went through", signal });
  const left = () => queues.bulk.getJobCountByTypes("waiting", "active", "delayed");
  await waitFor(left, 0, { what: "Users whom the sweep found and who are not refreshed yet", signal });
  const { users = 0, different = 0, missing = 0 } = (await sweeps.last()) ?? {};
  return { users, different, missing, calls: searches() - earlier };
}
