import type { EventSource } from "./action-types.ts";
import { createApplications } from "./auth/applications.ts";
import { createBearer } from "./auth/bearer.ts";
import { createGrants } from "./auth/grants.ts";
import { createKeys } from "./auth/keys.ts";
import { createTokens } from "./auth/tokens.ts";
import { createUserGrants } from "./auth/user-grants.ts";
import { createUserTokens } from "./auth/user-tokens.ts";
import { createFaults } from "./faults/faults.ts";
import { createStats } from "./http/stats.ts";
import { createKindeActions } from "./kinde/actions.ts";
import { userOf, type World } from "./kinde/world.ts";
import { createSignIn } from "./sign-in/sign-in.ts";
import { createCatalogue } from "./state/catalogue.ts";
import { createIdentityIds } from "./state/identity-ids.ts";
import { createPopulation } from "./state/population.ts";
import { createUsers } from "./state/users.ts";
import type { EmulatorOptions } from "./types.ts";
import { createDeliveries } from "./webhooks/deliveries.ts";
import { createEvents, createTimestamps } from "./webhooks/events.ts";
import { createPoster } from "./webhooks/post.ts";
import { createRegistry } from "./webhooks/registry.ts";

const DAY_SECONDS = 86_400;
/** Fixed, so that an app's configuration survives a restart of the emulator. */
const DEFAULT_APPLICATION = {
  clientId: "emulated_application_id",
  clientSecret: "emulatedApplicationClientSecret0123456789",
  name: "your app",
};
const DEFAULT_OFFSET_MINUTES = 600;

/** Creates everything except the HTTP routes. `issuer` is called only once the port is known. */
export async function createTenant(options: EmulatorOptions, issuer: () => string) {
  const { users: size = 0, seed = 1, now = Date.now, onEvent = () => {} } = options;
  const { clientId = "emulated_client_id", clientSecret = "emulatedManagementClientSecret0123456789" } = options;
  const applications = createApplications({ ...DEFAULT_APPLICATION, ...options.application });
  const timestamp = createTimestamps(now, options.eventOffsetMinutes ?? DEFAULT_OFFSET_MINUTES);
  const keys = await createKeys((kid) => onEvent({ type: "keys_rotated", kid }), options.signingKey);
  const faults = createFaults((action, kind) => onEvent({ type: "fault", action, kind }));
  const events = createEvents(timestamp);
  const registry = createRegistry(timestamp, (webhookId) => deliveries.drop(webhookId));
  const poster = createPoster(options.deliveryTimeoutMs ?? 10_000);
  const retryTimeScale = options.retryTimeScale ?? 1;
  const deliveries = createDeliveries({ keys, faults, registry, poster, onEvent, retryTimeScale });

  const fire = (type: string, data: Record<string, unknown>, source: EventSource, at?: string): string => {
    const event = events.create(type, data, source, at);
    deliveries.send(event);
    return event.event_id;
  };
  const population = createPopulation(size, seed);
  const world: World = {
    users: createUsers(population),
    catalogue: createCatalogue(size, seed),
    identityIds: createIdentityIds(),
    timestamp,
    fire,
  };
  const actionsOf = (by: EventSource) =>
    createKindeActions(world, by, (type, data, { timestamp: at, source = by } = {}) => fire(type, data, source, at));
  const tokens = createTokens({
    keys,
    issuer,
    clientId,
    clientSecret,
    applications,
    scopes: options.scopes,
    lifetimeSeconds: options.tokenLifetimeSeconds ?? DAY_SECONDS,
    now,
    onIssue: (issued) => onEvent({ type: "token", issued }),
  });
  const userTokens = createUserTokens({ world, keys, issuer, now });
  const grants = createGrants(now);
  const userActions = actionsOf("user");
  let scriptedUser: string | null = null;
  return {
    issuer,
    clientId,
    clientSecret,
    onEvent,
    world,
    population,
    keys,
    faults,
    events,
    registry,
    deliveries,
    tokens,
    applications,
    userTokens,
    grants,
    userGrants: createUserGrants({ world, applications, grants, userTokens, now }),
    bearer: createBearer({ world, keys, grants, issuer, now }),
    signIn: createSignIn({ world, actions: userActions, grants, userTokens, onEvent }),
    scriptedUser: () => scriptedUser,
    signInAs: (userId: string | null) => {
      scriptedUser = userId === null ? null : userOf(world, userId).id;
    },
    kinde: actionsOf("admin"),
    apiActions: actionsOf("api"),
    ...createStats(tokens, now),
  };
}

export type Tenant = Awaited<ReturnType<typeof createTenant>>;
