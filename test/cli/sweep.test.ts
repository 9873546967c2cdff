import { afterEach, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
afterEach(() => stack.close());

const status = async (env: Record<string, string>) =>
  (await kindling(["status", "--json"], env)).json as { warnings: { code: string; message: string }[] };

it("kindling sweep --wait reports why a sweep failed, and status warns until one succeeds", async () => {
  stack = await startStack({ emulator: { users: 5 } });
  const env = envOf(stack.config);
  const heal = stack.emulator.faults.set({ kind: "error", status: 403, path: "/api/v1/search/users" });
  const refused = await kindling(["sweep", "--wait"], env);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/The sweep gave up\. kinde_forbidden: .*scope read:users/);
  const sweepFailed = expect.objectContaining({ code: "sweep_failed", message: expect.stringContaining("read:users") });
  expect((await status(env)).warnings).toContainEqual(sweepFailed);
  heal();
  const done = await kindling(["sweep", "--wait", "--json"], env);
  expect(done).toMatchObject({ code: 0, json: { started: true, finished: { users: 5, missing: 5 } } });
  expect((await status(env)).warnings).not.toContainEqual(sweepFailed);
});
