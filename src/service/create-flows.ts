import type { Definitions } from "kindling";
import { extraParts, organizationParts } from "kindling/contract";
import { type AuditVerdict, auditUser } from "../audit/audit-user.ts";
import type { Config } from "../config.ts";
import { partsToKeep } from "../kinde/keep-parts.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { createWebhooks } from "../kinde/webhooks.ts";
import { createGrantChanges } from "../redis/grant-changes.ts";
import { createOrganizationStore } from "../redis/organization-store.ts";
import { sampleUsers } from "../redis/sample-users.ts";
import { createAcknowledgeFanout, createAcknowledgeUsers } from "../refresh/acknowledge-users.ts";
import { createFanOut, type FanOut } from "../refresh/fan-out.ts";
import { createJudgeAbsence } from "../refresh/judge-absence.ts";
import { createOrganizations } from "../refresh/organizations.ts";
import { createRefreshUser, type RefreshUser } from "../refresh/refresh-user.ts";
import { createSetProperties, type SetProperties } from "../refresh/set-properties.ts";
import type { Store } from "../store.ts";
import { nextTurns } from "../sweep/aged.ts";
import { createRecentChecks, type RecentChecks } from "../sweep/check-recent.ts";
import { createDisputes } from "../sweep/disputes.ts";
import { createFillPage } from "../sweep/fill-page.ts";
import { createGrantIndex } from "../sweep/grant-index.ts";
import { createKnownRoles } from "../sweep/known-roles.ts";
import { createPermissionScope } from "../sweep/permission-scope.ts";
import { type SweepStep, sweepStep } from "../sweep/sweep.ts";
import type { Aged, SweepState } from "../sweep/sweep-state.ts";
import { createWalks, neededGrants, type Walks } from "../sweep/walks.ts";
import { checkWebhook, type WebhookCheck } from "../webhook/check-registration.ts";
import { neededEventTypes } from "../webhook/route-event.ts";
import type { World } from "../world.ts";
import { trailRefreshes } from "./keep-trail.ts";
import { openKinde } from "./open-kinde.ts";

/** The operations on users that workers, routes and commands call. */
export interface Flows {
  kinde: ManagementApi;
  refreshUser: RefreshUser;
  setProperties: SetProperties;
  fanOut: FanOut;
  sweepStep(state: SweepState, call: CallOptions): Promise<SweepStep>;
  walks: Walks;
  recentChecks: RecentChecks;
  /** Returns whose roles, permissions and plans the next sweep refreshes by age. */
  readAged(): Promise<Aged>;
  auditUser(userId: string, call: CallOptions): Promise<AuditVerdict>;
  /** Ids of as many users with a record as an audit compares, drawn at random. */
  drawSample(): Promise<string[]>;
  checkWebhook(call: CallOptions): Promise<WebhookCheck>;
}

/** Dependencies of {@link createFlows}. */
export interface FlowsOptions {
  config: Config;
  world: World;
  store: Store;
  /** Default: the Management API as the settings describe it. */
  kinde?: ManagementApi;
  definitions: Definitions;
}

/** Composes the flows over one store and one Management API. */
export function createFlows(options: FlowsOptions): Flows {
  const { config, world, store, definitions, kinde = openKinde(config, world, store) } = options;
  const { redis, publicRedis, keys, records, ledger, absences, queues, seen, listed, completeness } = store;
  const { now } = world;
  const { refreshOnSignIn: signIns } = config;
  const keep = partsToKeep(config.profile, definitions);
  const { pageSize, indexLagMs, extrasMaxAgeMs } = config.sweep;
  const acknowledgeFanout = createAcknowledgeFanout({ redis, keys, queues });
  const organizations = createOrganizations({
    api: kinde,
    store: createOrganizationStore({ redis, keys, ttlMs: Math.max(extrasMaxAgeMs, 2 * config.organizationMaxAgeMs) }),
    definitions,
    ledger: store.fanoutLedger,
    maxAgeMs: config.organizationMaxAgeMs,
    settleMs: config.writeSettleMs,
    onChange: (code) => acknowledgeFanout(`organization:${code}`),
  });
  const judgeAbsence = createJudgeAbsence({
    api: kinde,
    absences,
    records,
    sampleUsers: (size) => sampleUsers(publicRedis, keys, size, { withProfile: true }),
    observations: config.absence.observations,
    limit: config.absence.limit,
  });
  const refreshUntrailed = createRefreshUser({
    api: kinde,
    organizations,
    records,
    ledger,
    absences,
    judgeAbsence,
    definitions,
    keep,
    extrasMaxAgeMs,
    activity: store.activity,
    now,
  });
  const refreshUser = trailRefreshes(store.trail, refreshUntrailed);
  const grantIndex = createGrantIndex({ redis, keys });
  const grantChanges = createGrantChanges({ redis, keys, settleMs: config.writeSettleMs });
  const fillPage = createFillPage({ api: kinde, records, ledger, definitions, keep, indexLagMs });
  const needsExtras =
    extraParts.some((part) => keep.has(part)) || [...extraParts, ...organizationParts].some(definitions.mayNeed);
  const disputesOf = (kind: string) =>
    createDisputes({ redis, keys, kind, settleMs: config.writeSettleMs, clock: ledger.clock });
  const sweepOptions = {
    api: kinde,
    records,
    keep,
    fillPage,
    ledger,
    absences,
    seen,
    grantIndex,
    grantChanges,
    acknowledge: createAcknowledgeUsers({ redis, keys, queues }),
    grantParts: neededGrants(definitions, keep),
    listed,
    completeness,
    disputes: disputesOf("sweep"),
    recheckOrganizations: organizations.recheck,
    now,
    pageSize,
    indexLagMs,
    signIns,
    definitions,
    extrasMaxAgeMs: needsExtras ? extrasMaxAgeMs : undefined,
  };
  const walks = createWalks({
    api: kinde,
    index: grantIndex,
    log: store.walkLog,
    sweeps: store.sweeps,
    ledger,
    records,
    definitions,
    keep,
    disputes: {
      roles: disputesOf("roles"),
      permissions: disputesOf("permissions"),
      otherPermissions: disputesOf("otherPermissions"),
      plans: disputesOf("plans"),
    },
    scope: createPermissionScope({ redis, keys, definitions }),
    knownRoles: createKnownRoles({ redis, keys }),
    onRoleChange: (id) => acknowledgeFanout(`role:${id}`),
    settleMs: config.writeSettleMs,
    now,
  });
  const recentChecks = createRecentChecks({
    api: kinde,
    recent: store.recentUsers,
    records,
    ledger,
    log: store.recentLog,
    definitions,
    keep,
    signIns,
    intervalMs: config.recent.intervalMs,
    settleMs: config.writeSettleMs,
    now,
  });
  const webhookOptions = {
    webhooks: createWebhooks(kinde),
    url: config.webhookUrl,
    needed: neededEventTypes(config),
    now,
  };
  return {
    kinde,
    refreshUser,
    setProperties: createSetProperties({
      api: kinde,
      ledger,
      records,
      queues,
      refreshUser,
      replication: store.replication,
      definitions,
      settleMs: config.writeSettleMs,
    }),
    fanOut: createFanOut({
      api: kinde,
      records,
      definitions,
      keep,
      organizations,
      noteGrantChange: grantChanges.note,
      activeUsers: queues.activeUsers,
    }),
    sweepStep: (state, call) => sweepStep(sweepOptions, state, call),
    walks,
    recentChecks,
    async readAged() {
      const [now, last] = await Promise.all([ledger.clock(), store.sweeps.last()]);
      const periodMs = extrasMaxAgeMs / 2;
      const turns = nextTurns(last, { now, periodMs, scheduled: config.sweep.intervalMs > 0 });
      return { ...(await walks.agedSince(now - periodMs)), ...turns };
    },
    auditUser: (userId, call) => auditUser({ api: kinde, records, ledger, definitions, keep, signIns }, userId, call),
    drawSample: () => sampleUsers(publicRedis, keys, config.audit.sample),
    checkWebhook: (call) => checkWebhook(webhookOptions, call),
  };
}
