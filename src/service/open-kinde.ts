import type { Config } from "../config.ts";
import { createAccessTokens } from "../kinde/access-token.ts";
import { createManagementApi, type ManagementApi } from "../kinde/management-api.ts";
import type { Store } from "../store.ts";
import type { World } from "../world.ts";

/** The Management API as this deployment uses it. */
export function openKinde(config: Config, { fetch, now }: World, { accessToken: store, budget }: Store): ManagementApi {
  const kinde = { origin: config.domain, fetch, now, timeoutMs: config.kindeTimeoutMs };
  const accessTokens = createAccessTokens({ ...config, ...kinde, store });
  return createManagementApi({ ...kinde, accessTokens, budget });
}
