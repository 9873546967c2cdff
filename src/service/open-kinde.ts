import type { Config } from "../config.ts";
import { createAccessTokens } from "../kinde/access-token.ts";
import { createManagementApi, type ManagementApi } from "../kinde/management-api.ts";
import type { Store } from "../store.ts";
import type { World } from "../world.ts";

/** Creates the Management API client that the settings describe. */
export function openKinde(
  config: Config,
  { fetch, now }: World,
  { accessToken: store, budget, activity }: Store,
): ManagementApi {
  const { domain: origin, kindeTimeoutMs: timeoutMs, clientId, clientSecret, audience } = config;
  const accessTokens = createAccessTokens({
    store,
    fetch,
    now,
    origin,
    clientId,
    clientSecret,
    audience,
    timeoutMs,
    onAnswer: activity.countCall,
  });
  return createManagementApi({ origin, fetch, accessTokens, budget, timeoutMs, onAnswer: activity.countCall });
}
