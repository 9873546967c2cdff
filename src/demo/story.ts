import type { Step } from "./step.ts";
import { burst } from "./steps/burst.ts";
import { deletion } from "./steps/deletion.ts";
import { handEdit } from "./steps/hand-edit.ts";
import { outage } from "./steps/outage.ts";
import { roleChange } from "./steps/role-change.ts";
import { signUp } from "./steps/sign-up.ts";
import { writeThrough } from "./steps/write-through.ts";

/** What the demo tells, in order. */
export const story: readonly Step[] = [signUp, roleChange, burst, outage, writeThrough, handEdit, deletion];
