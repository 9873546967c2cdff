import { expect, it } from "vitest";
import { routeEvent } from "../../src/webhook/route-event.ts";
import { testUser } from "../support/signer.ts";

const route = (type: string, data: Record<string, unknown>) =>
  routeEvent({ id: "event_1", type, timestamp: 0, data } as never, { refreshOnSignIn: true });

it("routes a billing event to every user that it names", () => {
  const [payer, member] = [testUser(1), testUser(2)];
  const data = { customer: { id: payer }, changes: [{ user: { id: member } }, { user: { id: payer } }] };
  expect(route("customer.plan_changed", data)).toEqual({ to: "users", userIds: [payer, member] });
  expect(route("customer.plan_changed", { customer: { id: payer } })).toEqual({
    to: "user",
    userId: payer,
    deleted: false,
  });
});

it("bounds the users of one event", () => {
  const users = Array.from({ length: 500 }, (_, n) => testUser(n));
  expect(route("customer.plan_changed", { users })).toEqual({ to: "users", userIds: users.slice(0, 100) });
});

it("tells sign-ins, which need no confirming refresh, from other events", () => {
  const data = { user: { id: testUser(1) } };
  expect(route("user.authenticated", data)).toMatchObject({ to: "user", signIn: true });
  expect(route("user.updated", data)).toEqual({ to: "user", userId: testUser(1), deleted: false });
});
