import type { EventSource, KindeActions, SilentOption } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import { find } from "../state/catalogue.ts";
import { FIRST_NAMES, LAST_NAMES } from "../state/population.ts";
import { mix, newId } from "../state/random.ts";
import type { UserState } from "../state/user-state.ts";
import type { UserInput } from "../truth-types.ts";
import { withAccountIdentities } from "./identities.ts";
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
 * Creates, changes, deletes and signs in users. Users that an admin does not place in an organization belong to none;
 * those who sign up, are imported or made by the API join the default one, with the default roles.
 */
export function createUserActions(world: World, source: EventSource): UserActions {
  const prepare = (input: UserInput, joinsDefault: boolean): UserState => {
    const user = newUser(world, joinsDefault && input.organizations === undefined ? inDefault(input) : input);
    if (world.users.get(user.id)) rejectDuplicate(user.id);
    rejectTakenIdentity(world, user);
    return user;
  };
  const inDefault = (input: UserInput): UserInput => {
    const code = find(world.catalogue.organizations, ({ isDefault }) => isDefault)?.code;
    return code === undefined ? input : { ...input, organizations: [{ code, roles: defaultRoles(world) }] };
  };
  const change = (id: string, changes: Partial<UserState>, { silent = false }: SilentOption = {}) => {
    const user = withAccountIdentities({ ...userOf(world, id), ...changes });
    rejectTakenIdentity(world, user);
    world.users.put(user);
    if (!silent) world.fire("user.updated", userPayload(world.catalogue, user), source);
  };

  return {
    createUser: (input = {}) => {
      const user = prepare(input, source !== "admin");
      world.users.put(user);
      world.fire("user.created", userPayload(world.catalogue, user), source);
      return toTruth(world.catalogue, user);
    },
    importUsers: (inputs) => {
      const users = inputs.map((input) => prepare(input, true));
      rejectRepeated(users);
      for (const user of users) world.users.put(user);
      return users.map((user) => toTruth(world.catalogue, user));
    },
    updateUser: change,
    suspendUser: (id, isSuspended = true, options = {}) => change(id, { isSuspended }, options),
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
  return withAccountIdentities({
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

/** @throws EmulatorError `user_already_exists` if another user has an identity of `user` */
function rejectTakenIdentity(world: World, user: UserState): void {
  for (const { identity } of user.identities) {
    const owner = world.users.findByIdentity(identity);
    if (owner && owner.id !== user.id) rejectDuplicate(owner.id);
  }
}

/** @throws EmulatorError `user_already_exists` if two of the users have the same id or identity */
function rejectRepeated(users: readonly UserState[]): void {
  const seen = new Map<string, UserState>();
  for (const user of users) {
    for (const name of [user.id, ...user.identities.map(({ identity }) => identity)]) {
      const other = seen.get(name);
      if (other && other !== user) rejectDuplicate(other.id);
      seen.set(name, user);
    }
  }
}

function rejectDuplicate(id: string): never {
  throw new EmulatorError("user_already_exists", `User ${id} already has this id, email, phone or username.`);
}
