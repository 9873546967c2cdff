import { showRecord, waitForFlags } from "../checks.ts";
import { ada, type Step } from "../stage.ts";

/** A role changes a flag that is derived from a permission. */
export const roleChange: Step = {
  title: "A role changes",
  async run(stage) {
    const { kinde } = stage.kinde;
    for (const { code } of kinde.user(ada.id)?.organizations ?? []) kinde.setRoles(ada.id, code, ["admin"]);
    stage.narrator.say("Ada becomes an admin. The role includes the permission admin:access:");
    await waitForFlags(stage, ada.id, { admin: true, tier: "pro" }, "Ada's flags after the role change");
    await showRecord(stage, ada.id);
    return 'Ada\'s flag "admin" is now true';
  },
};
