import {
  generatePortalUrl,
  getEntitlement,
  getEntitlements,
  getFlag,
  getPermission,
  getPermissions,
  getRoles,
  MemoryStorage,
  StorageKeys,
  setActiveStorage,
} from "@kinde/js-utils";
import { expect, it } from "vitest";
import { useEmulator } from "./support.ts";

const start = useEmulator();
const forceApi = { forceApi: true };

it("@kinde/js-utils reads current grants, flags and entitlements, page by page", async () => {
  const emulator = await start();
  const { kinde } = emulator;
  const { code } = kinde.createOrganization();
  const keys = Array.from({ length: 12 }, (_, index) => `reports:${String(index).padStart(2, "0")}`);
  kinde.createRole("auditor", keys);
  kinde.createFeatureFlag("beta", false);
  const { id } = kinde.createUser({ organizations: [code] });
  const storage = new MemoryStorage();
  await storage.setSessionItem(StorageKeys.accessToken, await emulator.deliveries.accessToken(id));
  setActiveStorage(storage);

  // After the token was issued, so that only the API can know.
  kinde.setRoles(id, code, ["auditor"]);
  kinde.setFeatureFlag("beta", true, { user: id });
  kinde.assignPlan(id, "pro");

  expect(await getPermissions(forceApi)).toEqual({ orgCode: code, permissions: keys });
  expect(await getPermission("reports:03", forceApi)).toMatchObject({ orgCode: code, isGranted: true });
  expect(await getPermission("reports:99", forceApi)).toMatchObject({ isGranted: false });
  expect(await getRoles(forceApi)).toEqual([{ id: expect.any(String), key: "auditor", name: "auditor" }]);
  expect(await getFlag("beta", forceApi)).toBe(true);
  expect(await getEntitlements()).toMatchObject({
    orgCode: code,
    plans: [{ key: "pro", subscribedOn: expect.any(String) }],
    entitlements: [{ featureKey: "pro_plan" }],
  });
  expect(await getEntitlement("pro_plan")).toMatchObject({ entitlement: { featureKey: "pro_plan" } });
  const { url } = await generatePortalUrl({ domain: emulator.url, returnUrl: "http://localhost:3999/" });
  const portal = await (await fetch(url)).text();
  expect(portal).toContain('href="http://localhost:3999/"');
});

it("refuses calls without the access token of an existing user, and invalid pages", async () => {
  const emulator = await start();
  const { id } = emulator.kinde.createUser();
  const { accessToken, idToken } = emulator.deliveries;
  const status = async (token: string, path = "/permissions") =>
    (await fetch(`${emulator.url}/account_api/v1${path}`, { headers: { authorization: `Bearer ${token}` } })).status;
  const token = await accessToken(id);
  expect(await status(token)).toBe(200);
  for (const path of ["/permissions?page_size=0", "/roles?starting_after=unknown"])
    expect(await status(token, path)).toBe(400);
  expect(await status(token, "/entitlement/unknown")).toBe(404);
  expect(await status(await idToken(id))).toBe(401);
  expect(await status("nonsense")).toBe(401);
  emulator.kinde.deleteUser(id);
  expect(await status(token)).toBe(401);
});
