import { EmulatorError } from "../emulator-error.ts";
import { find } from "../state/catalogue.ts";
import { FIRST_NAMES, LAST_NAMES } from "../state/population.ts";
import { mix, newId } from "../state/random.ts";
import type { UserState } from "../state/user-state.ts";
import type { UserInput } from "../truth-types.ts";
import type { EventSource, KindeActions } from "../types.ts";
import { defaultRoles, membershipFor } from "./memberships.ts";
import { userPayload } from "./payloads.ts";
import { withProperties } from "./properties.ts";
import { toTruth } from "./truth.ts";
import { userOf, type World } from "./world.ts";

type UserActions = Pick<
  KindeActions,
  "createUser" | "importUsers" | "updateUser" | "suspendUser" | "deleteUser" | "signIn"
>;

/**
 * Creates, changes, deletes and signs in users. Users whom an admin does not place in an organization belong to none;
 * those who sign up, are imported or made by the API join the default one, with the default roles.
 */
export function createUserActions(world: World, source: EventSource): UserActions {
  const add = (input: UserInput, joinsDefault: boolean): UserState => {
    const user = newUser(world, joinsDefault && input.organizations === undefined ? inDefault(input) : input);
    rejectDuplicate(world, user);
    world.users.put(user);
    return user;
  };
  const inDefault = (input: UserInput): UserInput => {
    const code = find(world.catalogue.organizations, ({ isDefault }) => isDefault)?.code;
    return code === undefined ? input : { ...input, organizations: [{ code, roles: defaultRoles(world) }] };
  };
  const change = (id: string, changes: Partial<UserState>) => {
    const user = withIdentities({ ...userOf(world, id), ...changes });
    world.users.put(user);
    world.fire("user.updated", userPayload(world.catalogue, user), source);
  };

  return {
    createUser: (input = {}) => {
      const user = add(input, source !== "admin");
      world.fire("user.created", userPayload(world.catalogue, user), source);
      return toTruth(world.catalogue, user);
    },
    importUsers: (inputs) => inputs.map((input) => toTruth(world.catalogue, add(input, true))),
    updateUser: (id, changes) => change(id, changes),
    suspendUser: (id, isSuspended = true) => change(id, { isSuspended }),
    deleteUser: (id, { silent = false } = {}) => {
      userOf(world, id);
      world.users.remove(id);
      if (!silent) world.fire("user.deleted", { user: { id } }, source);
    },
    signIn: (id, { ok = true } = {}) => {
      const user = userOf(world, id);
      world.users.put(
        ok
          ? { ...user, totalSignIns: user.totalSignIns + 1, lastSignedIn: world.timestamp() }
          : { ...user, failedSignIns: user.failedSignIns + 1 },
      );
      world.fire(ok ? "user.authenticated" : "user.authentication_failed", { user: { id } }, "user");
    },
  };
}

function newUser(world: World, input: UserInput): UserState {
  const id = input.id ?? newId.user();
  const draw = mix(Number.parseInt(id.slice(3, 10), 16) || id.length);
  const firstName = input.firstName === undefined ? FIRST_NAMES[draw % FIRST_NAMES.length] : input.firstName;
  const lastName = input.lastName === undefined ? LAST_NAMES[(draw >>> 8) % LAST_NAMES.length] : input.lastName;
  return withIdentities({
    id,
    providedId: input.providedId ?? null,
    email: input.email === undefined ? `${firstName}.${id.slice(3, 13)}@new.example`.toLowerCase() : input.email,
    phone: input.phone ?? null,
    username: input.username ?? null,
    firstName: firstName ?? null,
    lastName: lastName ?? null,
    isSuspended: input.isSuspended ?? false,
    isPasswordResetRequested: false,
    picture: input.picture ?? null,
    totalSignIns: 0,
    failedSignIns: 0,
    lastSignedIn: null,
    createdOn: world.timestamp(),
    properties: withProperties(world, {}, input.properties ?? {}),
    featureFlags: {},
    memberships: (input.organizations ?? []).map((one) =>
      typeof one === "string" ? membershipFor(world, one, {}) : membershipFor(world, one.code, one),
    ),
    identities: [],
    billing: null,
  });
}

/** Derives the email, username and phone identities from the account and keeps all others. */
function withIdentities(user: UserState): UserState {
  const own = [
    ["email", user.email],
    ["username", user.username],
    ["phone", user.phone],
  ] as const;
  const kept = user.identities.filter(({ type }) => !own.some(([name]) => name === type));
  const named = own.flatMap(([type, identity]) => (identity === null ? [] : [{ type, identity }]));
  return { ...user, identities: [...named, ...kept] };
}

function rejectDuplicate(world: World, user: UserState): void {
  const existing =
    world.users.get(user.id) ??
    user.identities.map(({ identity }) => world.users.findByIdentity(identity)).find(Boolean);
  if (existing)
    throw new EmulatorError(
      "user_already_exists",
      `User ${existing.id} already has this id, email, phone or username.`,
    );
}
