import { showReader, showRecord, waitForFlags } from "../checks.ts";
import { ada, type Step } from "../stage.ts";

/** `user.created` leads to flags in Redis. */
export const signUp: Step = {
  title: "A user signs up",
  async run(stage) {
    const [organization] = stage.kinde.kinde.organizations();
    stage.kinde.kinde.createUser({ ...ada, organizations: organization ? [organization.code] : [] });
    stage.narrator.say("Kinde sends user.created. Kindling fetches Ada, properties included, and stores her flags:");
    const expected = { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: false } as const;
    await waitForFlags(stage, ada.id, expected, "Ada's flags after the sign-up");
    await showRecord(stage, ada.id);
    stage.narrator.say("An app server reads the same flags, typed:");
    await showReader(stage, ada.id);
    return "One webhook later, Ada's flags are readable with one GET";
  },
};
