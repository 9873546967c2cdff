import { decodeWebhook } from "@kinde/webhooks";
import type { Emulator } from "kinde-emulator";
import { beforeEach, describe, expect, it } from "vitest";
import { useEmulator, useReceiver } from "./support.ts";

type Calls<Names extends string> = Record<Names, (data?: object) => Promise<Answer>>;

/** The methods used here. The package's own declarations do not resolve in Node's ESM. */
interface ManagementClient {
  init(config: { kindeDomain: string; clientId: string; clientSecret: string }): void;
  setToken(token: string): void;
  Users: Calls<
    | "createUser"
    | "updateUser"
    | "getUserData"
    | "getUsers"
    | "deleteUser"
    | "updateUserProperties"
    | "updateUserProperty"
    | "getUserPropertyValues"
  >;
  Properties: Calls<"createProperty">;
  PropertyCategories: Calls<"getCategories">;
  Search: Calls<"searchUsers">;
  Organizations: Calls<
    | "createOrganization"
    | "addOrganizationUsers"
    | "createOrganizationUserRole"
    | "createOrganizationUserPermission"
    | "getOrganizationUserPermissions"
    | "getOrganizationUsers"
    | "deleteOrganization"
  >;
  Roles: Calls<"getRoles" | "getRoleUsers">;
  Permissions: Calls<"getPermissions">;
  Webhooks: Calls<"createWebHook" | "updateWebHook" | "getWebHooks" | "getEventTypes" | "deleteWebHook">;
}

interface Answer {
  id?: string;
  users?: { id: string; org_codes: string[] }[];
  results?: { id: string }[];
  categories?: { id: string }[];
  properties?: { key: string; value: string | null }[];
  organization?: { code: string };
  organization_users?: object[];
  roles?: { id: string; key: string }[];
  permissions?: { id: string; key: string }[];
  webhook?: { id: string };
  webhooks?: object[];
  event_types?: { code: string }[];
}

const PACKAGE: string = "@kinde/management-api-js";
const client: ManagementClient = await import(PACKAGE);
const { init, setToken, Organizations, Permissions, PropertyCategories, Properties, Roles, Search, Users, Webhooks } =
  client;

const start = useEmulator();
const receive = useReceiver();

describe("@kinde/webhooks", () => {
  it("decodes deliveries, and rejects them once their key has been rotated out", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    const user = emulator.kinde.createUser({ email: "ada@example.com" });
    await emulator.deliveries.settled();

    const [delivery] = hook.received;
    const event = await decodeWebhook(delivery?.body, emulator.url);
    expect(event).toMatchObject({ type: "user.created", source: "admin", data: { user: { id: user.id } } });

    await emulator.keys.rotate();
    expect(await decodeWebhook(delivery?.body, emulator.url)).toBeNull();
  });

  it("accepts the old key if the rotation keeps it", async () => {
    const emulator = await start();
    const token = await emulator.deliveries.sign({ type: "user.deleted", event_id: "event_1" });
    await emulator.keys.rotate({ keepOld: true });
    expect(await decodeWebhook(token, emulator.url)).toMatchObject({ event_id: "event_1" });
  });
});

describe("@kinde/management-api-js", () => {
  let emulator: Emulator;

  beforeEach(async () => {
    emulator = await start({ users: 30 });
    setToken("");
    init({ kindeDomain: emulator.url, clientId: emulator.clientId, clientSecret: emulator.clientSecret });
  });

  it("creates, reads, updates and deletes a user", async () => {
    const { id = "" } = await Users.createUser({
      requestBody: {
        profile: { given_name: "Ada", family_name: "Lovelace" },
        identities: [{ type: "email", details: { email: "ada@analytical.example" } }],
      },
    });
    await Users.updateUser({ id, requestBody: { is_suspended: true } });
    const user = await Users.getUserData({ id, expand: "organizations,identities" });
    expect(user).toMatchObject({ preferred_email: "ada@analytical.example", is_suspended: true });
    const defaultOrganization = emulator.kinde.organizations().find(({ isDefault }) => isDefault)?.code;
    expect(emulator.kinde.user(id)?.organizations).toMatchObject([{ code: defaultOrganization, roles: ["member"] }]);
    const { users } = await Users.getUsers({ email: "ada@analytical.example" });
    expect(users?.map((one) => one.id)).toEqual([id]);
    await Users.deleteUser({ id });
    await expect(Users.getUserData({ id })).rejects.toMatchObject({ status: 404 });
  });

  it("defines, writes, reads and searches properties", async () => {
    const [userId = ""] = emulator.kinde.userIds();
    const { categories } = await PropertyCategories.getCategories();
    await Properties.createProperty({
      requestBody: {
        name: "Nickname",
        key: "nickname",
        type: "single_line_text",
        context: "usr",
        is_private: false,
        category_id: categories?.[0]?.id,
      },
    });
    await Users.updateUserProperties({ userId, requestBody: { properties: { plan_tier: "pro", nickname: "Ed" } } });
    await Users.updateUserProperty({ userId, propertyKey: "onboarded", value: "true" });
    const { properties } = await Users.getUserPropertyValues({ userId });
    const values = Object.fromEntries((properties ?? []).map(({ key, value }) => [key, value]));
    expect(values).toMatchObject({ plan_tier: "pro", nickname: "Ed", onboarded: "true" });
    expect(emulator.kinde.user(userId)?.properties).toMatchObject({ plan_tier: "pro", nickname: "Ed" });
    const { results } = await Search.searchUsers({ properties: { nickname: ["Ed"] }, expand: "properties" });
    expect(results?.map(({ id }) => id)).toEqual([userId]);
  });

  it("manages organizations, roles and permissions", async () => {
    const [userId = ""] = emulator.kinde.userIds();
    const { organization } = await Organizations.createOrganization({ requestBody: { name: "Analytical Engines" } });
    const orgCode = organization?.code ?? "";
    await Organizations.addOrganizationUsers({ orgCode, requestBody: { users: [{ id: userId, roles: ["member"] }] } });
    const { roles = [] } = await Roles.getRoles({ pageSize: 100 });
    const admin = roles.find(({ key }) => key === "admin")?.id ?? "";
    await Organizations.createOrganizationUserRole({ orgCode, userId, requestBody: { role_id: admin } });
    const { permissions = [] } = await Permissions.getPermissions({ pageSize: 100 });
    const exporting = permissions.find(({ key }) => key === "reports:export")?.id ?? "";
    await Organizations.createOrganizationUserPermission({
      orgCode,
      userId,
      requestBody: { permission_id: exporting },
    });

    const held = await Organizations.getOrganizationUserPermissions({ orgCode, userId });
    expect(held.permissions?.map(({ key }) => key)).toEqual(
      emulator.kinde.user(userId)?.organizations.find(({ code }) => code === orgCode)?.permissions,
    );
    expect(held.permissions?.map(({ key }) => key)).toContain("reports:export");
    const members = await Organizations.getOrganizationUsers({ orgCode });
    expect(members.organization_users).toMatchObject([{ id: userId, roles: ["member", "admin"] }]);
    const holders = await Roles.getRoleUsers({ roleId: admin, pageSize: 500 });
    expect(holders.users?.find(({ id }) => id === userId)?.org_codes).toContain(orgCode);
    await Organizations.deleteOrganization({ orgCode });
    expect(emulator.kinde.user(userId)?.organizations.map(({ code }) => code)).not.toContain(orgCode);
  });

  it("registers, updates, lists and deletes webhooks", async () => {
    const { webhook } = await Webhooks.createWebHook({
      requestBody: { endpoint: "http://127.0.0.1:9/hook", name: "Mine", event_types: ["user.updated"] },
    });
    const webhookId = webhook?.id ?? "";
    await Webhooks.updateWebHook({ webhookId, requestBody: { event_types: ["user.created", "user.deleted"] } });
    expect((await Webhooks.getWebHooks()).webhooks).toMatchObject([
      { id: webhookId, endpoint: "http://127.0.0.1:9/hook", event_types: ["user.created", "user.deleted"] },
    ]);
    const { event_types } = await Webhooks.getEventTypes();
    expect(event_types?.map(({ code }) => code)).toContain("customer.plan_assigned");
    await Webhooks.deleteWebHook({ webhookId });
    expect(emulator.webhooks.list()).toEqual([]);
  });
});
