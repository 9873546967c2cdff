import type { Flags } from "kindling";
import { extraParts } from "kindling/contract";
import { auditUser } from "../audit/audit-user.ts";
import type { Config } from "../config.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { createWebhooks } from "../kinde/webhooks.ts";
import { sampleUsers } from "../redis/sample-users.ts";
import { createFanOut } from "../refresh/fan-out.ts";
import { createRefreshUser } from "../refresh/refresh-user.ts";
import { createSetProperties } from "../refresh/set-properties.ts";
import { usersInHand } from "../refresh/users-in-hand.ts";
import { createFillPage } from "../sweep/fill-page.ts";
import { type SweepOptions, type SweepState, sweepStep } from "../sweep/sweep.ts";
import { checkWebhook } from "../webhook/check-registration.ts";
import { neededEventTypes } from "../webhook/route-event.ts";
import type { World } from "../world.ts";
import { openKinde } from "./open-kinde.ts";
import type { Store } from "./open-store.ts";

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
