import { countWords, plural } from "../../words.ts";
import { expectEqual, showRecord, waitFor, waitForFlags } from "../checks.ts";
import { spent } from "../narrator.ts";
import { bob, type Stage, type Step } from "../stage.ts";

/** A sweep finds a property edited in Kinde, and imported users. Kinde sends no webhook for either. */
export const handEdit: Step = {
  title: "An admin edits a property in Kinde",
  async run(stage) {
    const { kinde, narrator, reader } = stage;
    const deliveries = kinde.deliveries.list().length;
    kinde.kinde.setProperties(bob.id, { plan_tier: "pro" });
    expectEqual("Bob's tier before the sweep", (await reader.get(bob.id)).flags.tier, "enterprise");
    narrator.say('Bob\'s plan_tier is now "pro" in Kinde. Kinde sends no webhook, so Redis still has "enterprise".');
    narrator.say("Sweeps find such changes, here every 30 seconds by default. One starts now:");
    const started = performance.now();
    const [{ users, different, missing, calls }, took] = await Promise.all([
      sweep(stage),
      waitForFlags(stage, bob.id, { tier: "pro", onboarded: true }, "Bob's flags after the sweep").then(
        () => performance.now() - started,
      ),
    ]);
    await showRecord(stage, bob.id);
    const everyone = [...kinde.kinde.userIds()];
    expectEqual("Users compared by the sweep", users, everyone.length);
    expectEqual("Users that differed", different, 1);
    narrator.say(
      `${countWords(users)} users compared in ${plural(calls, "call")}: Bob differs, ${countWords(missing)} imported users had no record yet.`,
    );
    const stored = (await reader.getMany(everyone)).filter(({ status }) => status === "present").length;
    expectEqual("Users with a record after the sweep", stored, everyone.length);
    const again = await sweep(stage);
    expectEqual("Differences found by the next sweep", again.different + again.missing, 0);
    // A page, and the end of the listing: asked for twice while the store is not known to be complete.
    expectEqual("The next sweep takes at most three calls", again.calls <= 3, true);
    expectEqual("Webhooks sent meanwhile", kinde.deliveries.list().length - deliveries, 0);
    return `Corrected after ${spent(took)}; the next sweep finds nothing, in ${plural(again.calls, "call")}`;
  },
};

/** Runs a sweep and waits until every user it found is refreshed. */
async function sweep({ kinde, queues, sweeps, signal }: Stage) {
  const before = (await sweeps.last())?.mark.number;
  const searches = () => kinde.stats.calls["GET /api/v1/search/users"] ?? 0;
  const earlier = searches();
  await queues.enqueueSweep();
  const isFinished = async () => (await sweeps.last())?.mark.number !== before;
  await waitFor(isFinished, true, { what: "The sweep finished", signal });
  const remaining = () => queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed");
  await waitFor(remaining, 0, { what: "Users found by the sweep and not refreshed yet", signal });
  const { users = 0, different = 0, missing = 0 } = (await sweeps.last()) ?? {};
  return { users, different, missing, calls: searches() - earlier };
}
