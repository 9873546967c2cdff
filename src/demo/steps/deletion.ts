import { ada } from "../cast.ts";
import { showFlags, showReader, waitFor, waitForCalm } from "../lookups.ts";
import { expectEqual } from "../mismatch.ts";
import type { Stage, Step } from "../step.ts";

/** A deleted user leaves a tombstone, and no personal data. */
export const deletion: Step = {
  title: "A user is deleted",
  async run(stage) {
    const { kinde, redis, keys, narrator, signal } = stage;
    kinde.kinde.deleteUser(ada.id);
    narrator.say("Ada is deleted in Kinde: a tombstone takes the place of her flags, and her profile goes.");
    await waitFor(() => statusOfAda(stage), "deleted", { what: "Status of Ada after her deletion", signal });
    await showFlags(stage, ada.id);
    await showReader(stage, ada.id);
    expectEqual("Keys that hold Ada's profile", await redis.exists(keys.profile(ada.id)), 0);

    kinde.kinde.emit("user.updated", { user: { id: ada.id } });
    await kinde.deliveries.settled();
    await waitForCalm(stage);
    expectEqual("Status of Ada after a late event", await statusOfAda(stage), "deleted");
    return "deleted, and still deleted after a user.updated that came late";
  },
};

async function statusOfAda({ reader }: Stage): Promise<string> {
  return (await reader.get(ada.id)).status;
}
