import type { KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import type { FeatureFlagState } from "../state/catalogue.ts";
import { newId } from "../state/random.ts";
import type { UserState } from "../state/user-state.ts";
import type { FeatureFlag, FeatureFlagValue } from "../truth-types.ts";
import { missing, organizationOf, userOf, type World } from "./world.ts";

type FeatureFlagActions = Pick<
  KindeActions,
  "featureFlags" | "createFeatureFlag" | "updateFeatureFlag" | "setFeatureFlag" | "deleteFeatureFlag"
>;

const LEVELS = ["env", "org", "usr"] as const;

/** Feature flags. Kinde fires no event when they change. */
export function createFeatureFlagActions(world: World): FeatureFlagActions {
  const { featureFlags } = world.catalogue;

  return {
    featureFlags: () => [...featureFlags.values()].map(toFeatureFlag),
    createFeatureFlag: (key, defaultValue, details = {}) => {
      if (key === "" || !isValue(typeOf(defaultValue), defaultValue)) throw invalidValue(key, typeOf(defaultValue));
      if (featureFlags.has(key))
        throw new EmulatorError("feature_flag_already_exists", `Feature flag "${key}" already exists.`);
      const flag: FeatureFlagState = {
        id: newId.flag(),
        key,
        name: key,
        description: "",
        type: typeOf(defaultValue),
        allowOverrideLevel: "usr",
        ...details,
        defaultValue,
        environmentValue: undefined,
        organizationValues: new Map(),
      };
      featureFlags.set(key, flag);
      return toFeatureFlag(flag);
    },
    updateFeatureFlag: (key, changes) => {
      const flag = featureFlagOf(world, key);
      const type = changes.defaultValue === undefined ? flag.type : typeOf(changes.defaultValue);
      if (changes.defaultValue !== undefined && !isValue(type, changes.defaultValue)) throw invalidValue(key, type);
      // Values of the old type would no longer be values of the flag.
      const values = type === flag.type ? {} : { environmentValue: undefined, organizationValues: new Map() };
      featureFlags.set(key, { ...flag, ...changes, type, ...values });
    },
    setFeatureFlag: (key, value, { organization, user } = {}) => {
      const flag = featureFlagOf(world, key);
      const level = user !== undefined ? "usr" : organization !== undefined ? "org" : "env";
      if (value !== null && !isValue(flag.type, value)) throw invalidValue(key, flag.type);
      if (LEVELS.indexOf(level) > LEVELS.indexOf(flag.allowOverrideLevel))
        throw new EmulatorError(
          "invalid_feature_flag",
          `Feature flag "${key}" can be set down to the level "${flag.allowOverrideLevel}" only.`,
        );
      if (user !== undefined) {
        const state = userOf(world, user);
        const { [key]: _, ...others } = state.featureFlags;
        return world.users.put({ ...state, featureFlags: value === null ? others : { ...others, [key]: value } });
      }
      if (organization === undefined) {
        featureFlags.set(key, { ...flag, environmentValue: value ?? undefined });
        return;
      }
      const organizationValues = new Map(flag.organizationValues);
      if (value === null) organizationValues.delete(organizationOf(world, organization).code);
      else organizationValues.set(organizationOf(world, organization).code, value);
      featureFlags.set(key, { ...flag, organizationValues });
    },
    deleteFeatureFlag: (key) => {
      featureFlags.delete(featureFlagOf(world, key).key);
    },
  };
}

/** Returns the value of every feature flag that applies to a user in an organization. */
export function featureFlagsFor(
  world: World,
  user: UserState,
  orgCode: string | undefined,
): { flag: FeatureFlag; value: FeatureFlagValue }[] {
  return [...world.catalogue.featureFlags.values()].map((flag) => {
    const own = user.featureFlags[flag.key];
    const ofOrganization = orgCode === undefined ? undefined : flag.organizationValues.get(orgCode);
    const valid = own !== undefined && isValue(flag.type, own) ? own : undefined;
    return { flag, value: valid ?? ofOrganization ?? flag.environmentValue ?? flag.defaultValue };
  });
}

export const featureFlagOf = (world: World, key: string): FeatureFlagState =>
  world.catalogue.featureFlags.get(key) ?? missing("feature_flag", key);

const toFeatureFlag = ({ environmentValue: _, organizationValues: __, ...flag }: FeatureFlagState): FeatureFlag => flag;

const typeOf = (value: FeatureFlagValue): FeatureFlag["type"] =>
  typeof value === "boolean" ? "bool" : typeof value === "number" ? "int" : "str";

function isValue(type: FeatureFlag["type"], value: FeatureFlagValue): boolean {
  if (type === "int") return Number.isSafeInteger(value);
  return typeof value === (type === "bool" ? "boolean" : "string");
}

const invalidValue = (key: string, type: FeatureFlag["type"]) =>
  new EmulatorError(
    "invalid_feature_flag",
    `Feature flag "${key}" needs a key and a value of type ${{ str: "string", int: "whole number", bool: "boolean" }[type]}.`,
  );
