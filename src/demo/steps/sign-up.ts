import { ada } from "../cast.ts";
import { showFlags, showReader, waitForFlags } from "../lookups.ts";
import type { Step } from "../step.ts";

/** From `user.created` to the flags. */
export const signUp: Step = {
  title: "A user signs up",
  async run(stage) {
    const [organization] = stage.kinde.kinde.organizations();
    stage.kinde.kinde.createUser({ ...ada, organizations: organization ? [organization.code] : [] });
    stage.narrator.say("Ada signs up: Kinde delivers user.created, Kindling fetches her whole and stores her flags.");
    const expected = { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: false } as const;
    await waitForFlags(stage, ada.id, expected, "Ada's flags after her sign-up");
    await showFlags(stage, ada.id);
    stage.narrator.say("The same in an app server, typed:");
    await showReader(stage, ada.id);
    return "signed up, fetched, stored: one key lookup answers";
  },
};
