import { KindeError } from "../../src/errors.ts";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";

/** A tenant whose listings are computed: each user is in one organization and holds one role. */
export interface Tenant {
  users: number;
  organizations: number;
  /** Roles, and permissions, that exist. Role 0 grants the first permission. */
  roles: number;
  permissions: number;
}

/** Kinde's listings of a tenant, answered at once. Counts the calls by route. */
export interface Listings {
  api: ManagementApi;
  /** Calls by route, since they were last taken. */
  take(): Record<string, number>;
}

const pageSize = 500;
/** One in so many users holds a permission directly. */
const directly = 50;

const userId = (number: number) => `kp_${number.toString(16).padStart(32, "0")}`;
const codeOf = (number: number) => `org_${number.toString(16).padStart(11, "0")}`;
const numberOf = (id: string) => Number.parseInt(id.slice(id.indexOf("_") + 1), 16);

/** Creates the listings. */
export function createListings({ users, organizations, roles, permissions }: Tenant): Listings {
  const counts = new Map<string, number>();
  const permission = (number: number) => ({ id: `p${number}`, key: `permission:${number}` });
  const organizationOf = (user: number) => codeOf(user % organizations);
  const account = (number: number) => ({
    id: userId(number),
    email: `user-${number}@example.com`,
    first_name: "Ada",
    is_suspended: false,
    organizations: [organizationOf(number)],
    properties: { plan_tier: "pro" },
  });
  /** One page of the users that `first`, `first + step`, … are. */
  const page = (first: number, step: number, cursor: string | null, size = pageSize) => {
    const from = cursor === null ? first : Number(cursor);
    const numbers = Array.from({ length: size }, (_, index) => from + index * step).filter((user) => user < users);
    const next = from + size * step;
    return { numbers, next_token: next < users ? String(next) : null };
  };
  const answers: Readonly<Record<string, (path: string[], query: URLSearchParams) => object>> = {
    "GET /api/v1/roles": () => ({
      roles: Array.from({ length: roles }, (_, number) => ({ id: `r${number}`, key: `role-${number}` })),
    }),
    "GET /api/v1/roles/{id}/permissions": ([, , , role]) => ({ permissions: role === "r0" ? [permission(0)] : [] }),
    "GET /api/v1/roles/{id}/users": ([, , , role = ""], query) => {
      const { numbers, next_token } = page(Number(role.slice(1)), roles, query.get("next_token"));
      return { users: numbers.map((user) => ({ id: userId(user), org_codes: [organizationOf(user)] })), next_token };
    },
    "GET /api/v1/permissions": () => ({
      permissions: Array.from({ length: permissions }, (_, number) => permission(number)),
    }),
    "GET /api/v1/organizations": (_path, query) => {
      const from = Number(query.get("next_token") ?? 0);
      const length = Math.min(pageSize, organizations - from);
      const codes = Array.from({ length }, (_, index) => ({ code: codeOf(from + index) }));
      return { organizations: codes, next_token: from + length < organizations ? String(from + length) : null };
    },
    "GET /api/v1/organizations/{code}/users": ([, , , code = ""], query) => {
      const key = Number(query.get("permissions")?.split(":")[1]);
      const holders = (user: number) => Math.floor(user / organizations) % directly === key;
      // The members of one organization fit on few pages: those who hold the permission are picked from all of them.
      const members = page(numberOf(code), organizations, query.get("next_token"), pageSize * directly);
      const ids = members.numbers.filter(holders).map((user) => ({ id: userId(user) }));
      return { organization_users: ids, next_token: members.next_token };
    },
    "GET /api/v1/search/users": (_path, query) => {
      const after = query.get("starting_after");
      const { numbers } = page(after === null ? 0 : numberOf(after) + 1, 1, null);
      return { results: numbers.map(account) };
    },
    "GET /api/v1/users": (_path, query) => ({
      users: (query.get("user_id") ?? "").split(",").map((id) => ({ ...account(numberOf(id)), phone: null })),
    }),
  };
  return {
    api: {
      async get<T>({ path, route, answer }: Call<T>): Promise<T> {
        counts.set(route, (counts.get(route) ?? 0) + 1);
        const [plain = "", query = ""] = path.split("?");
        const found = answers[route]?.(plain.slice(1).split("/"), new URLSearchParams(query));
        if (found === undefined) throw new KindeError("kinde_not_found", `${route} is not listed.`);
        return answer.parse(found);
      },
      send: () => Promise.reject(new KindeError("kinde_rejected", "Listings cannot be changed.")),
    },
    take() {
      const taken = Object.fromEntries(counts);
      counts.clear();
      return taken;
    },
  };
}
