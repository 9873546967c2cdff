import { z } from "zod";
import { listAnswer } from "./answers.ts";
import { queryId } from "./ids.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** Fields of a user that the search omits. */
export interface UserDetails {
  phone: string | null;
  /** Id of the billing customer; `null` if the user has none. */
  customerId: string | null;
}

const listingSchema = listAnswer(["users"], {
  users: z
    .array(
      z.object({
        id: z.string(),
        phone: z.string().nullish(),
        billing: z.object({ customer_id: queryId.nullish() }).nullish(),
      }),
    )
    .nullish(),
});

// The ids go into the URL, at 36 characters each, and many servers and proxies reject URLs longer than 8 kB.
const usersPerCall = 100;

/**
 * Fetches details of many users by id, at one call per hundred. Users that do not exist in Kinde are omitted.
 *
 * Uses the parameters `user_id` (comma-separated) and `expand` of the user list.
 *
 * @see https://docs.kinde.com/kinde-apis/management/#tag/users/get/api/v1/users
 */
export async function listDetails(
  api: ManagementApi,
  userIds: readonly string[],
  options: CallOptions,
): Promise<Map<string, UserDetails>> {
  const chunks = Array.from({ length: Math.ceil(userIds.length / usersPerCall) }, (_, index) =>
    userIds.slice(index * usersPerCall, (index + 1) * usersPerCall),
  );
  const lists = await Promise.all(chunks.map((chunk) => listChunk(api, chunk, options)));
  return new Map(
    lists
      .flat()
      .map(({ id, phone, billing }) => [id, { phone: phone ?? null, customerId: billing?.customer_id ?? null }]),
  );
}

async function listChunk(api: ManagementApi, userIds: readonly string[], options: CallOptions) {
  const ids = encodeURIComponent(userIds.join(","));
  const { users } = await api.get(
    {
      path: `/api/v1/users?user_id=${ids}&page_size=${usersPerCall}&expand=billing`,
      route: "GET /api/v1/users",
      scope: "read:users",
      answer: listingSchema,
      long: true,
    },
    options,
  );
  return users ?? [];
}
