import type { z } from "zod";
import { userId } from "../kinde/ids.ts";
import type { DashboardContext } from "./page.tsx";
import { RequestError } from "./problems.ts";

/**
 * Reads a form.
 *
 * @throws {RequestError} 400 that names the fields, without their values
 */
export async function readForm<T>(context: DashboardContext, schema: z.ZodType<T>): Promise<T> {
  const form = await context.req.parseBody({ all: true }).catch(() => ({}));
  const { data, error } = schema.safeParse(form);
  if (data !== undefined) return data;
  const issues = error?.issues.map(({ path, message }) => `${path.join(".") || "the form"}: ${message}`) ?? [];
  throw new RequestError(400, `Fill in the form again: ${issues.join("; ")}.`);
}

/**
 * Returns the user id of the path.
 *
 * @throws {RequestError} 400
 */
export function userIdOf(context: DashboardContext): string {
  const { data } = userId.safeParse(context.req.param("id"));
  if (data === undefined) throw new RequestError(400, "A user id is kp_ followed by letters and digits.");
  return data;
}
