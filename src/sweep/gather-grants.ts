import { z } from "zod";
import { KindeError } from "../errors.ts";
import { asOutage } from "../kinde/answers.ts";
import {
  listGrantingRoles,
  listHolders,
  listOrganizations,
  listPermissions,
  listPermitted,
  listRoles,
} from "../kinde/list-grants.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { follow, type Trail, trailSchema } from "../kinde/paging.ts";
import { type GrantIndex, type IndexMark, markIndex } from "./grant-index.ts";

/** The parts that listings show. `permissions` includes those that roles grant. */
export type GrantPart = "roles" | "permissions";

/** Permissions to list: those with these keys, or all but those. */
export interface KeySelection {
  keys: readonly string[];
  except: boolean;
}

/** Returns whether a permission with this key is selected. Without a selection, all are. */
export function isSelected(selection: KeySelection | undefined, key: string): boolean {
  return selection === undefined || selection.keys.includes(key) !== selection.except;
}

/** Progress of gathering who holds which roles and permissions. */
export interface GatherState {
  mark: IndexMark;
  /** Which listings are read. */
  parts: readonly GrantPart[];
  /** Which permissions are listed. Absent: all. */
  selection?: KeySelection;
  phase: "catalogue" | "holders" | "organizations" | "permitted" | "gathered";
  /** Position of the role, or of the permission, that is being listed. */
  grant: number;
  /** Cursor of its next page; `null` at its start. */
  cursor: string | null;
  trail?: Trail;
  /** Organizations of the current page of them, and the position of the one that is being listed. */
  codes: readonly string[];
  organization: number;
  /** Cursor of the next page of organizations; `null` at the start and after the last. */
  nextCodes: string | null;
  codesTrail?: Trail;
}

const count = z.int().nonnegative();
const mostKeys = 2_000;
/** Schema of {@link GatherState}. */
export const gatherSchema = z.object({
  mark: z.object({ number: z.number(), buckets: count.min(1).max(16_384) }),
  parts: z.array(z.enum(["roles", "permissions"])),
  selection: z.object({ keys: z.array(z.string()).max(mostKeys), except: z.boolean() }).exactOptional(),
  phase: z.enum(["catalogue", "holders", "organizations", "permitted", "gathered"]),
  grant: count,
  cursor: z.string().nullable(),
  trail: trailSchema.exactOptional(),
  codes: z.array(z.string()).max(500),
  organization: count,
  nextCodes: z.string().nullable(),
  codesTrail: trailSchema.exactOptional(),
}) satisfies z.ZodType<GatherState>;

/** Dependencies of {@link gatherStep}. */
export interface GatherOptions {
  api: ManagementApi;
  index: GrantIndex;
}

/** Returns the initial state for about so many users. */
export function beginGathering(
  number: number,
  users: number,
  parts: readonly GrantPart[],
  selection?: KeySelection,
): GatherState {
  const mark = markIndex(number, users);
  const start = { phase: "catalogue", grant: 0, cursor: null, codes: [], organization: 0, nextCodes: null } as const;
  return { mark, parts, ...(selection && { selection }), ...start };
}

/** The index lost what was gathered before: begin again. */
export class GrantsLost extends Error {}

/**
 * Reads the next page of a listing into the index: first roles and permissions, then the holders of each role over all
 * organizations, then, organization by organization, the members who have each permission. Kinde lists direct permissions
 * in no other way.
 *
 * @param kind names the walk: of each kind, one index exists at a time
 * @throws {GrantsLost} if Redis lost a part of the index
 */
export async function gatherStep(
  { api, index }: GatherOptions,
  kind: string,
  state: GatherState,
  call: CallOptions,
): Promise<GatherState> {
  const { mark, parts } = state;
  if (state.phase === "gathered") return state;
  if (state.phase === "catalogue") {
    const roles = await listGrantingRoles(api, call);
    const listed = parts.includes("permissions") ? await listPermissions(api, call) : [];
    const permissions = listed.filter(({ key }) => isSelected(state.selection, key));
    await index.begin(kind, mark, { roles, permissions });
    return { ...state, phase: "holders" };
  }
  const catalogue = await index.catalogue(mark);
  if (catalogue === undefined) throw new GrantsLost();
  if (state.phase === "holders") {
    const role = parts.includes("roles") ? catalogue.roles[state.grant] : undefined;
    if (role === undefined) {
      const phase = parts.includes("permissions") && catalogue.permissions.length > 0 ? "organizations" : "gathered";
      return { ...withoutTrail(state), phase, grant: 0, cursor: null };
    }
    const { items, next } = await unlessGone(
      listHolders(api, role.id, state.cursor, call),
      async () => !(await listRoles(api, call)).some(({ id }) => id === role.id),
    );
    await index.add(
      mark,
      items.flatMap(({ userId, codes }) =>
        (codes ?? [undefined]).map((code) => ({ userId, code, part: "roles" as const, grant: state.grant })),
      ),
    );
    return nextPage(state, next, "GET /api/v1/roles/{id}/users");
  }
  if (state.phase === "organizations") {
    const { items, next } = await listOrganizations(api, state.nextCodes, call);
    const codesTrail =
      next === null ? {} : { codesTrail: follow(state.codesTrail, next, { route: "GET /api/v1/organizations" }) };
    return { ...state, ...codesTrail, phase: "permitted", codes: items, organization: 0, nextCodes: next };
  }
  const code = state.codes[state.organization];
  if (code === undefined) return { ...state, phase: state.nextCodes === null ? "gathered" : "organizations" };
  const permission = catalogue.permissions[state.grant];
  if (permission === undefined) {
    return { ...withoutTrail(state), organization: state.organization + 1, grant: 0, cursor: null };
  }
  const { items, next } = await unlessGone(
    listPermitted(api, { code, permission: permission.key }, state.cursor, call),
    // The first of them show whether Kinde answers at all.
    async () => !(await listOrganizations(api, null, call)).items.includes(code),
  );
  await index.add(
    mark,
    items.map((userId) => ({ userId, code, part: "permissions" as const, grant: state.grant })),
  );
  return nextPage(state, next, "GET /api/v1/organizations/{code}/users");
}

function nextPage(state: GatherState, next: string | null, route: string): GatherState {
  if (next === null) return { ...withoutTrail(state), grant: state.grant + 1, cursor: null };
  return { ...state, cursor: next, trail: follow(state.trail, next, { route }) };
}

function withoutTrail({ trail: _trail, ...state }: GatherState): GatherState {
  return state;
}

// A role or an organization that was deleted meanwhile has no holders. Those of one that Kinde lists are not known.
async function unlessGone<Page extends { items: unknown[]; next: string | null }>(
  page: Promise<Page>,
  isGone: () => Promise<boolean>,
): Promise<Page> {
  try {
    return await page;
  } catch (error) {
    const gone = error instanceof KindeError && error.code === "kinde_not_found" && (await isGone());
    if (gone) return { items: [], next: null } as unknown as Page;
    throw asOutage(error);
  }
}
