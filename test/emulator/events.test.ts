import type { Emulator } from "kinde-emulator";
import { describe, expect, it } from "vitest";
import { clientOf, useEmulator, useReceiver } from "./support.ts";

const start = useEmulator();
const receive = useReceiver();

async function listening(emulator: Emulator, eventTypes?: string[]) {
  const hook = await receive();
  emulator.webhooks.register({ url: hook.url, ...(eventTypes && { eventTypes }) });
  return {
    ...hook,
    /** Event types delivered while `act` ran. */
    eventsOf: async (act: () => unknown) => {
      const before = hook.received.length;
      await act();
      await emulator.deliveries.settled();
      return hook.types().slice(before).sort();
    },
  };
}

describe("events", () => {
  it("fires the events Kinde fires, and none for properties and imports", async () => {
    const emulator = await start();
    const { kinde } = emulator;
    const { eventsOf } = await listening(emulator);
    const { id } = kinde.createUser();
    const { code } = kinde.createOrganization();
    kinde.createRole("admin", ["admin:access"]);

    await emulator.deliveries.settled();
    expect(await eventsOf(() => kinde.setProperties(id, { plan_tier: "pro" }))).toEqual([]);
    expect(await eventsOf(() => kinde.setProperties(id, { plan_tier: "free", onboarded: null }))).toEqual([]);
    expect(await eventsOf(() => kinde.importUsers([{}, { email: "grace@example.com" }]))).toEqual([]);
    expect(await eventsOf(() => kinde.createProperty("nickname"))).toEqual([]);
    expect(await eventsOf(() => kinde.addToOrganization(id, code))).toEqual(["user.updated"]);
    expect(await eventsOf(() => kinde.setRoles(id, code, ["admin"]))).toEqual(["user.updated"]);
    expect(await eventsOf(() => kinde.setPermissions(id, code, ["admin:access"]))).toEqual(["user.updated"]);
    expect(await eventsOf(() => kinde.suspendUser(id))).toEqual(["user.updated"]);
    expect(await eventsOf(() => kinde.suspendUser(id, false, { silent: true }))).toEqual([]);
    expect(await eventsOf(() => kinde.updateUser(id, { firstName: "Grace" }))).toEqual(["user.updated"]);
    expect(await eventsOf(() => kinde.updateUser(id, { firstName: "Ada" }, { silent: true }))).toEqual([]);
    expect(await eventsOf(() => kinde.removeFromOrganization(id, code))).toEqual(["user.updated"]);
    kinde.addToOrganization(id, code);
    await emulator.deliveries.settled();
    expect(await eventsOf(() => kinde.removeFromOrganization(id, code, { silent: true }))).toEqual([]);
    expect(kinde.user(id)).toMatchObject({ isSuspended: false, firstName: "Ada", organizations: [] });
    expect(await eventsOf(() => kinde.signIn(id))).toEqual(["user.authenticated"]);
    expect(await eventsOf(() => kinde.signIn(id, { ok: false }))).toEqual(["user.authentication_failed"]);
    expect(await eventsOf(() => kinde.updateRole("admin", { permissions: [] }))).toEqual(["role.updated"]);
    expect(await eventsOf(() => kinde.deleteRole("admin"))).toEqual(["role.deleted"]);
    expect(await eventsOf(() => kinde.deletePermission("admin:access"))).toEqual(["permission.deleted"]);
    expect(await eventsOf(() => kinde.assignPlan(id, "pro"))).toEqual([
      "customer.agreement_created",
      "customer.plan_assigned",
    ]);
    expect(await eventsOf(() => kinde.changePlan(id, "max"))).toEqual(["customer.plan_changed"]);
    expect(await eventsOf(() => kinde.cancelPlan(id))).toEqual(["customer.agreement_cancelled"]);
    expect(await eventsOf(() => kinde.deleteOrganization(code))).toEqual(["organization.deleted"]);
    expect(await eventsOf(() => kinde.deleteUser(id))).toEqual(["user.deleted"]);
    expect(await eventsOf(() => kinde.emit("passkey.added", { user: { id } }))).toEqual(["passkey.added"]);
  });

  it("fires events with source api for API calls, and none for properties", async () => {
    const emulator = await start();
    const { eventsOf, received } = await listening(emulator);
    const call = await clientOf(emulator);
    let id = "";
    const create = async () => {
      id = (await call("POST", "/user", { profile: { given_name: "Ada" } })).body.id;
    };
    expect(await eventsOf(create)).toEqual(["user.created"]);
    const set = () => call("PATCH", `/users/${id}/properties`, { properties: { onboarded: "true" } });
    expect(await eventsOf(set)).toEqual([]);
    expect(await eventsOf(() => call("PUT", `/users/${id}/properties/plan_tier?value=pro`))).toEqual([]);
    expect(await eventsOf(() => call("DELETE", `/user?id=${id}`))).toEqual(["user.deleted"]);
    expect(received.at(-1)?.payload).toMatchObject({ source: "api", data: { user: { id } } });
  });

  it("delivers only the event types a webhook is subscribed to", async () => {
    const emulator = await start();
    const { types } = await listening(emulator, ["user.deleted"]);
    const { id } = emulator.kinde.createUser();
    emulator.kinde.suspendUser(id);
    emulator.kinde.deleteUser(id);
    await emulator.deliveries.settled();
    expect(types()).toEqual(["user.deleted"]);
  });

  it("signs exactly the documented payload, with microsecond timestamps and no JWT claims", async () => {
    const emulator = await start();
    const { received } = await listening(emulator);
    const { code } = emulator.kinde.createOrganization();
    emulator.kinde.createRole("admin", ["admin:access"]);
    emulator.kinde.createUser({
      email: "ada@example.com",
      username: "ada",
      firstName: "Ada",
      lastName: "Lovelace",
      organizations: [{ code, roles: ["admin"] }],
    });
    await emulator.deliveries.settled();
    const delivery = received.find(({ payload }) => payload.type === "user.created");
    expect(delivery?.headers["content-type"]).toBe("application/jwt");
    expect(delivery?.headers["webhook-id"]).toMatch(/^msg_/);
    expect(Object.keys(delivery?.payload ?? {}).sort()).toEqual(
      ["data", "event_id", "event_timestamp", "source", "timestamp", "type"].sort(),
    );
    expect(delivery?.payload.event_id).toMatch(/^event_[0-9a-f]{32}$/);
    expect(delivery?.payload.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+10:00$/);
    expect(delivery?.payload.data.user).toEqual({
      id: expect.stringMatching(/^kp_[0-9a-f]{32}$/),
      email: "ada@example.com",
      first_name: "Ada",
      last_name: "Lovelace",
      username: "ada",
      phone: null,
      is_suspended: false,
      is_password_reset_requested: false,
      organizations: [
        {
          code,
          roles: [{ id: expect.any(String), key: "admin" }],
          permissions: [{ id: expect.any(String), key: "admin:access" }],
        },
      ],
    });
  });

  it("returns an event by id, and 404 for an unknown one", async () => {
    const emulator = await start();
    const call = await clientOf(emulator);
    const eventId = emulator.kinde.emit("user.updated", { user: { id: "kp_1" } });
    const { body } = await call("GET", `/events/${eventId}`);
    expect(body.event).toMatchObject({ type: "user.updated", event_id: eventId, data: { user: { id: "kp_1" } } });
    expect((await call("GET", "/events/event_0")).status).toBe(404);
  });
});
