import { createKeys } from "./auth/keys.ts";
import { createTokens } from "./auth/tokens.ts";
import { createUserTokens } from "./auth/user-tokens.ts";
import { createFaults } from "./faults/faults.ts";
import { createStats } from "./http/stats.ts";
import { createKindeActions } from "./kinde/actions.ts";
import type { World } from "./kinde/world.ts";
import { createCatalogue } from "./state/catalogue.ts";
import { createPopulation } from "./state/population.ts";
import { createUsers } from "./state/users.ts";
import type { EmulatorOptions, EventSource } from "./types.ts";
import { createDeliveries } from "./webhooks/deliveries.ts";
import { createEvents, createTimestamps } from "./webhooks/events.ts";
import { createPoster } from "./webhooks/post.ts";
import { createRegistry } from "./webhooks/registry.ts";

const DAY_SECONDS = 86_400;
const DEFAULT_OFFSET_MINUTES = 600;

/** Creates everything except the HTTP routes. `issuer` is called only once the port is known. */
export async function createTenant(options: EmulatorOptions, issuer: () => string) {
  const { users: size = 0, seed = 1, now = Date.now, onEvent = () => {} } = options;
  const { clientId = "emulated_client_id", clientSecret = "emulated_client_secret" } = options;
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
    scopes: options.scopes,
    lifetimeSeconds: options.tokenLifetimeSeconds ?? DAY_SECONDS,
    now,
    onIssue: (issued) => onEvent({ type: "token", issued }),
  });
  return {
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
    userTokens: createUserTokens({ world, keys, issuer, now }),
    kinde: actionsOf("admin"),
    apiActions: actionsOf("api"),
    ...createStats(tokens, now),
  };
}

export type Tenant = Awaited<ReturnType<typeof createTenant>>;
