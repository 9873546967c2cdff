import { expectEqual, showReader, showRecord, waitFor, waitForEmptyLedger } from "../checks.ts";
import { ada, type Stage, type Step } from "../stage.ts";

/** A deleted user leaves a tombstone without personal data. */
export const deletion: Step = {
  title: "A user is deleted",
  async run(stage) {
    const { kinde, redis, keys, narrator, signal } = stage;
    kinde.kinde.deleteUser(ada.id);
    narrator.say(
      "Ada is deleted in Kinde. A tombstone with default flags replaces her record; her profile is removed:",
    );
    await waitFor(() => statusOfAda(stage), "deleted", { what: "Ada's status after the deletion", signal });
    await showRecord(stage, ada.id);
    expectEqual("Profile keys of Ada", await redis.exists(keys.profile(ada.id)), 0);

    kinde.kinde.emit("user.updated", { user: { id: ada.id } });
    await kinde.deliveries.settled();
    await waitForEmptyLedger(stage);
    narrator.say("A late user.updated arrives and changes nothing:");
    await showReader(stage, ada.id);
    expectEqual("Ada's status after a late event", await statusOfAda(stage), "deleted");
    return "Ada stays deleted, even after a late event";
  },
};

async function statusOfAda({ reader }: Stage): Promise<string> {
  return (await reader.get(ada.id)).status;
}
