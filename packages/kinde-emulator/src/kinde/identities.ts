import type { EventSource, KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import type { IdentityState, UserState } from "../state/user-state.ts";
import type { Identity } from "../truth-types.ts";
import { userPayload } from "./payloads.ts";
import { missing, userOf, type World } from "./world.ts";

type IdentityActions = Pick<KindeActions, "identities" | "addIdentity" | "makeIdentityPrimary" | "removeIdentity">;

/** Types of which the account shows the primary identity. */
const ACCOUNT_TYPES = ["email", "username", "phone"] as const;
type AccountType = (typeof ACCOUNT_TYPES)[number];

const isAccountType = (type: string): type is AccountType => ACCOUNT_TYPES.some((one) => one === type);

/** Identities. A change that the account shows fires `user.updated`, any other fires nothing. */
export function createIdentityActions(world: World, source: EventSource): IdentityActions {
  const toIdentity = ({ id: userId, createdOn, identities }: UserState, one: IdentityState): Identity => ({
    id: world.identityIds.idOf({ userId, type: one.type, identity: one.identity }),
    userId,
    type: one.type,
    identity: one.identity,
    connectionId: one.connectionId ?? null,
    isPrimary: identities.find(({ type }) => type === one.type) === one,
    createdOn: one.createdOn ?? createdOn,
  });
  const find = (id: string) => {
    const ref = world.identityIds.find(id) ?? missing("identity", id);
    const user = world.users.get(ref.userId);
    const one = user?.identities.find(({ type, identity }) => type === ref.type && identity === ref.identity);
    return user && one ? { user, one } : missing("identity", id);
  };
  const save = (before: UserState, identities: readonly IdentityState[]) => {
    const user = { ...before, ...primaries(identities), identities };
    world.users.put(user);
    if (ACCOUNT_TYPES.some((type) => user[type] !== before[type]))
      world.fire("user.updated", userPayload(world.catalogue, user), source);
    return user;
  };

  return {
    identities: (userId) => {
      const user = userOf(world, userId);
      return user.identities.map((one) => toIdentity(user, one));
    },
    addIdentity: (userId, { type, identity, connectionId }) => {
      const user = userOf(world, userId);
      if (identity.trim() === "") throw new EmulatorError("invalid_identity", "An identity cannot be empty.");
      if (isAccountType(type) !== (connectionId === undefined))
        throw new EmulatorError(
          "invalid_identity",
          `An identity of the type ${type} ${isAccountType(type) ? "has no" : "needs a"} connection.`,
        );
      const taken = isAccountType(type) ? world.users.findByIdentity(identity) : undefined;
      if (taken || user.identities.some((one) => one.type === type && one.identity === identity))
        throw new EmulatorError("identity_already_exists", `User ${(taken ?? user).id} already has this identity.`);
      const added: IdentityState = {
        type,
        identity,
        createdOn: world.timestamp(),
        ...(connectionId !== undefined && { connectionId }),
      };
      return toIdentity(save(user, [...user.identities, added]), added);
    },
    makeIdentityPrimary: (id) => {
      const { user, one } = find(id);
      save(user, [one, ...user.identities.filter((other) => other !== one)]);
    },
    removeIdentity: (id) => {
      const { user, one } = find(id);
      save(
        user,
        user.identities.filter((other) => other !== one),
      );
    },
  };
}

const primaries = (identities: readonly IdentityState[]): Record<AccountType, string | null> => {
  const primary = (type: AccountType) => identities.find((one) => one.type === type)?.identity ?? null;
  return { email: primary("email"), username: primary("username"), phone: primary("phone") };
};

/** Replaces the primary identities by what the account shows, and keeps all others. */
export function withAccountIdentities(user: UserState): UserState {
  const { identities } = user;
  const before = primaries(identities);
  const shown = ACCOUNT_TYPES.flatMap((type): IdentityState[] => {
    const identity = user[type];
    if (identity === null) return [];
    return [identities.find((one) => one.type === type && one.identity === identity) ?? { type, identity }];
  });
  const isReplaced = ({ type, identity }: IdentityState) =>
    isAccountType(type) && (identity === before[type] || identity === user[type]);
  const after = { ...user, identities: [...shown, ...identities.filter((one) => !isReplaced(one))] };
  // An account that gives up its primary identity of a type shows the next one.
  return { ...after, ...primaries(after.identities) };
}
