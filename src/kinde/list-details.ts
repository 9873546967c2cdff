import { z } from "zod";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** What the search does not show of a user. */
export interface UserDetails {
  phone: string | null;
  /** Of the billing customer; `null` for a user who is none. */
  customerId: string | null;
}

const listingSchema = z.object({
  users: z
    .array(
      z.object({
        id: z.string(),
        phone: z.string().nullish(),
        billing: z.object({ customer_id: z.string().nullish() }).nullish(),
      }),
    )
    .nullish(),
});

// Ids stand in the URL: 36 characters each, and URLs over 8 kB are refused in many places.
const usersPerCall = 100;

/**
 * Details of many users by their ids: one call for each hundred. Users that Kinde does not have are left out.
 *
 * Source: `user_id` (comma-separated) and `expand` of https://docs.kinde.com/kinde-apis/management/#tag/users/get/api/v1/users
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
    },
    options,
  );
  return users ?? [];
}
