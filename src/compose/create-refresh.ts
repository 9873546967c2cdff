import { sampleUsers } from "../cache/sample-users.ts";
import type { Config } from "../config.ts";
import type { Flags } from "../flags/define-flags.ts";
import { checkWebhook } from "../kinde/check-webhook.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { extraParts } from "../kinde/profile.ts";
import { neededEventTypes } from "../kinde/route-event.ts";
import { createWebhooks } from "../kinde/webhooks.ts";
import { usersInHand } from "../queue/users-in-hand.ts";
import { auditUser } from "../refresh/audit-user.ts";
import { createFanOut } from "../refresh/fan-out.ts";
import { createFillPage } from "../refresh/fill-page.ts";
import { createRefreshUser } from "../refresh/refresh-user.ts";
import { createSetProperties } from "../refresh/set-properties.ts";
import { type SweepOptions, type SweepState, sweepStep } from "../refresh/sweep.ts";
import { openKinde } from "./open-kinde.ts";
import type { Store } from "./open-store.ts";
import type { World } from "./world.ts";

/** Refreshing and fanning out, against the Management API. */
export function createRefresh(
  config: Config,
  world: World,
  store: Store,
  flags: Flags,
  api = openKinde(config, world, store),
) {
  const { records, queues, users: ledger } = store;
  const shared = { api, records, flags, keep: config.profile };
  const refreshUser = createRefreshUser({ ...shared, ledger, now: world.now });
  const settleMs = config.writeSettleMs;
  return {
    api,
    refreshUser,
    setProperties: createSetProperties({ api, ledger, records, queues, refreshUser, settleMs }),
    fanOut: createFanOut({ ...shared, inHand: () => usersInHand(queues) }),
    sweepStep: createSweepStep(config, world, store, shared),
    ...createAudit(config, world, store, shared),
  };
}

function createAudit(
  config: Config,
  { now }: World,
  { redis, keys, records, users: ledger }: Store,
  { api, flags }: { api: ManagementApi; flags: Flags },
) {
  const signIns = config.refreshOnSignIn;
  const options = { api, ledger, records, flags, keep: config.profile, signIns };
  const needed = neededEventTypes(config);
  return {
    auditUser: (userId: string, call: CallOptions) => auditUser(options, userId, call),
    drawSample: () => sampleUsers(redis, keys, config.audit.sample),
    checkWebhook: (call: CallOptions) =>
      checkWebhook({ webhooks: createWebhooks(api), url: config.webhookUrl, needed, now }, call),
  };
}

function createSweepStep(
  config: Config,
  { now }: World,
  store: Store,
  shared: Pick<SweepOptions, "api" | "records" | "keep"> & { flags: Flags },
) {
  const { flags } = shared;
  const { records, seen, users: ledger } = store;
  const needsExtras = extraParts.some((part) => config.profile.has(part) || flags.mayNeed(part));
  const options: SweepOptions = {
    ...shared,
    ...config.sweep,
    now,
    records,
    seen,
    ledger,
    fillPage: createFillPage({ ...shared, ...config.sweep, ledger, records, now }),
    schema: flags.schema,
    signIns: config.refreshOnSignIn,
    extrasMaxAgeMs: needsExtras ? config.sweep.extrasMaxAgeMs : undefined,
  };
  return (state: SweepState, call: CallOptions) => sweepStep(options, state, call);
}
