import { ada } from "../cast.ts";
import { showFlags, waitForFlags } from "../lookups.ts";
import type { Step } from "../step.ts";

/** From a role to the flag that stands on one of its permissions. */
export const roleChange: Step = {
  title: "A role changes",
  async run(stage) {
    const { kinde } = stage.kinde;
    for (const { code } of kinde.user(ada.id)?.organizations ?? []) kinde.setRoles(ada.id, code, ["admin"]);
    stage.narrator.say("Ada becomes an admin: the role brings the permission admin:access, the permission the flag.");
    await waitForFlags(stage, ada.id, { admin: true, tier: "pro" }, "Ada's flags after she became an admin");
    await showFlags(stage, ada.id);
    return 'the flag "admin" is true';
  },
};
