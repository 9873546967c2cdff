import { expect, it } from "vitest";
import { routeEvent } from "../../src/webhook/route-event.ts";
import { testUser } from "../support/signer.ts";

const route = (type: string, data: Record<string, unknown>) =>
  routeEvent({ id: "event_1", type, timestamp: 0, data } as never, { refreshOnSignIn: true });

it("routes a billing event to every user that it names", () => {
  const [payer, member] = [testUser(1), testUser(2)];
  const data = { customer: { id: payer }, changes: [{ user: { id: member } }, { user: { id: payer } }] };
  expect(route("customer.plan_changed", data)).toEqual({ to: "users", userIds: [payer, member], concern: "plans" });
});

it("routes a billing event that names an organization beside a user to both", () => {
  const data = { user: { id: testUser(1) }, organization: { code: "org_1" } };
  const users = { to: "users", userIds: [testUser(1)] };
  expect(route("customer.plan_changed", data)).toEqual({ ...users, concern: "plans", subject: "plans:org_1" });
  expect(route("passkey.added", data)).toEqual({ ...users, concern: "account" });
});

it("bounds the users of one event", () => {
  const users = Array.from({ length: 500 }, (_, n) => testUser(n));
  expect(route("customer.plan_changed", { users })).toMatchObject({ userIds: users.slice(0, 100) });
});

it("routes a deletion to its user", () => {
  expect(route("user.deleted", { user: { id: testUser(1) } })).toEqual({ to: "deleted", userId: testUser(1) });
});

it.each(["role", "permission"])("does nothing for a new %s, which nobody holds", (kind) => {
  expect(route(`${kind}.created`, { [kind]: { id: "1" } })).toEqual({ to: "none", reason: "ignored" });
  expect(route(`${kind}.updated`, { [kind]: { id: "1" } })).toEqual({ to: "fanout", subject: `${kind}:1` });
});

it.each([
  ["user.created", "everything"],
  ["user.updated", "grants"],
  ["user.authenticated", "signIn"],
  ["passkey.added", "account"],
  ["customer.agreement_cancelled", "plans"],
])("tells what %s concerns: %s", (type, concern) => {
  expect(route(type, { user: { id: testUser(1) } })).toEqual({ to: "users", userIds: [testUser(1)], concern });
});
