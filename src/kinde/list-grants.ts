import type { Grant } from "kindling/contract";
import { z } from "zod";
import { KindeError } from "../errors.ts";
import { listAnswer, mustExist } from "./answers.ts";
import { patienceOfManyMs } from "./call-budget.ts";
import { organizationCode, pathId, queryId, userId } from "./ids.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";
import { follow, type Trail } from "./paging.ts";

/** A role and the permissions that it grants. */
export interface ListedRole extends Grant {
  permissions: readonly Grant[];
}

/** A holder of a role. */
export interface RoleHolder {
  userId: string;
  /** Organizations in which the user holds it; `undefined` if the entry is malformed. */
  codes: readonly string[] | undefined;
}

/** One page of a listing. */
export interface GrantsPage<Item> {
  items: Item[];
  /** Cursor of the next page; `null` after the last. */
  next: string | null;
}

const pageSize = 500;
/** Roles, and permissions, that one walk compares. */
const mostGrants = 2_000;
/** Organizations of one holder. */
const mostCodes = 1_000;
/** A page with more entries that name no user than this is rejected as a whole. */
const mostUnreadable = 10;

const nextToken = queryId.or(z.literal("")).nullish();
const listOf = <T>(entry: z.ZodType<T>) => z.array(entry).max(pageSize).nullish();
const grant = z.object({ id: pathId, key: z.string().min(1).max(500) });
const rolesSchema = listAnswer(["roles"], { roles: listOf(grant), next_token: nextToken });
const permissionsSchema = listAnswer(["permissions"], { permissions: listOf(grant), next_token: nextToken });
const organizationsSchema = listAnswer(["organizations"], {
  organizations: listOf(z.object({ code: organizationCode })),
  next_token: nextToken,
});
const entries = listOf(z.unknown());
const holdersSchema = listAnswer(["users"], { users: entries, next_token: nextToken });
const membersSchema = listAnswer(["organization_users"], { organization_users: entries, next_token: nextToken });
const holderSchema = z.object({ id: userId });
const codesSchema = z.object({ org_codes: z.array(organizationCode).max(mostCodes) });

/** Lists all roles, in a call for 500 of them. */
export async function listRoles(api: ManagementApi, options: CallOptions): Promise<Grant[]> {
  const route = "GET /api/v1/roles";
  return listAll(route, async (cursor) => {
    const call = { path: `/api/v1/roles${query(cursor)}`, route, scope: "read:roles", answer: rolesSchema };
    const { roles: items, next_token } = await mustExist(api.get(call, options));
    return { items: items ?? [], next: next_token || null };
  });
}

/** Lists all roles, each with the permissions that it grants: a call for 500 roles, and one for each role. */
export async function listGrantingRoles(api: ManagementApi, options: CallOptions): Promise<ListedRole[]> {
  const listed: ListedRole[] = [];
  const patient = { ...options, patienceMs: patienceOfManyMs };
  for (const role of await listRoles(api, patient))
    listed.push({ ...role, permissions: await listRolePermissions(api, role.id, patient) });
  return listed;
}

async function listRolePermissions(api: ManagementApi, roleId: string, options: CallOptions): Promise<Grant[]> {
  const route = "GET /api/v1/roles/{id}/permissions";
  return listAll(route, async (cursor) => {
    const path = `/api/v1/roles/${encodeURIComponent(roleId)}/permissions${query(cursor)}`;
    const call = { path, route, scope: "read:role_permissions", answer: permissionsSchema };
    const { permissions, next_token } = await mustExist(api.get(call, options));
    return { items: permissions ?? [], next: next_token || null };
  });
}

/** Lists all permissions. */
export async function listPermissions(api: ManagementApi, options: CallOptions): Promise<Grant[]> {
  const route = "GET /api/v1/permissions";
  return listAll(route, async (cursor) => {
    const call = { path: `/api/v1/permissions${query(cursor)}`, route, scope: "read:permissions" };
    const { permissions, next_token } = await mustExist(api.get({ ...call, answer: permissionsSchema }, options));
    return { items: permissions ?? [], next: next_token || null };
  });
}

/** Lists the codes of up to 500 organizations. */
export async function listOrganizations(
  api: ManagementApi,
  cursor: string | null,
  options: CallOptions,
): Promise<GrantsPage<string>> {
  const call = {
    path: `/api/v1/organizations${query(cursor)}`,
    route: "GET /api/v1/organizations",
    scope: "read:organizations",
    answer: organizationsSchema,
  };
  const { organizations, next_token } = await mustExist(api.get(call, options));
  return { items: (organizations ?? []).map(({ code }) => code), next: next_token || null };
}

/** Lists up to 500 users who hold a role, with the organizations in which they do. */
export async function listHolders(
  api: ManagementApi,
  roleId: string,
  cursor: string | null,
  options: CallOptions,
): Promise<GrantsPage<RoleHolder>> {
  const call = {
    path: `/api/v1/roles/${encodeURIComponent(roleId)}/users${query(cursor)}`,
    route: "GET /api/v1/roles/{id}/users",
    scope: "read:organization_user_roles",
    answer: holdersSchema,
  };
  const { users, next_token } = await api.get(call, options);
  const items = readable(users ?? [], call.route).map(({ id, entry }) => ({
    userId: id,
    codes: codesSchema.safeParse(entry).data?.org_codes,
  }));
  return { items, next: next_token || null };
}

/** Lists the ids of up to 500 members of an organization who have a permission. */
export async function listPermitted(
  api: ManagementApi,
  { code, permission }: { code: string; permission: string },
  cursor: string | null,
  options: CallOptions,
): Promise<GrantsPage<string>> {
  const filter = `&permissions=${encodeURIComponent(permission)}`;
  const call = {
    path: `/api/v1/organizations/${encodeURIComponent(code)}/users${query(cursor)}${filter}`,
    route: "GET /api/v1/organizations/{code}/users",
    scope: "read:organization_users",
    answer: membersSchema,
  };
  const { organization_users, next_token } = await api.get(call, options);
  return { items: readable(organization_users ?? [], call.route).map(({ id }) => id), next: next_token || null };
}

function query(cursor: string | null): string {
  return `?page_size=${pageSize}${cursor === null ? "" : `&next_token=${encodeURIComponent(cursor)}`}`;
}

// An entry without a valid id is nobody whose record could be compared.
function readable(list: readonly unknown[], route: string): { id: string; entry: unknown }[] {
  const found = list.flatMap((entry) => {
    const id = holderSchema.safeParse(entry).data?.id;
    return id === undefined ? [] : [{ id, entry }];
  });
  if (list.length - found.length > mostUnreadable) {
    throw new KindeError("kinde_unavailable", `The answer to ${route} is malformed.`);
  }
  return found;
}

async function listAll<Item>(
  route: string,
  read: (cursor: string | null) => Promise<GrantsPage<Item>>,
): Promise<Item[]> {
  const all: Item[] = [];
  let trail: Trail | undefined;
  let cursor: string | null = null;
  do {
    const page: GrantsPage<Item> = await read(cursor);
    all.push(...page.items);
    if (all.length > mostGrants) {
      throw new KindeError("kinde_unavailable", `${route} lists more than ${mostGrants} entries.`);
    }
    cursor = page.next;
    if (cursor !== null) trail = follow(trail, cursor, { route });
  } while (cursor !== null);
  return all;
}
