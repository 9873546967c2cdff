import type { KindeActions } from "../action-types.ts";
import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random.ts";
import { missing, userOf, type World } from "./world.ts";

type PropertyActions = Pick<KindeActions, "setProperties" | "createProperty" | "updateProperty" | "deleteProperty">;

/** User properties. Changes fire no event, as in Kinde. */
export function createPropertyActions(world: World): PropertyActions {
  return {
    setProperties: (id, properties) => {
      const user = userOf(world, id);
      world.users.put({ ...user, properties: withProperties(world, user.properties, properties) });
    },
    createProperty: (key, definition = {}) => {
      if (world.catalogue.properties.has(key))
        throw new EmulatorError("property_already_exists", `Property "${key}" already exists.`);
      const property = {
        id: newId.property(),
        key,
        name: key,
        description: "",
        isPrivate: false,
        isKindeProperty: false,
        context: "usr" as const,
        categoryId: null,
        ...definition,
      };
      world.catalogue.properties.set(key, property);
      return property;
    },
    updateProperty: (key, changes) => {
      const property = { ...(world.catalogue.properties.get(key) ?? missing("property", key)), ...changes };
      world.catalogue.properties.set(key, property);
    },
    deleteProperty: (key) => {
      world.catalogue.properties.get(key) ?? missing("property", key);
      world.catalogue.properties.delete(key);
    },
  };
}

/**
 * Applies `changes` to `before`.
 *
 * @throws EmulatorError `invalid_property` if a key is not defined as a user property
 */
export function withProperties(
  world: World,
  before: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const after = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(changes)) {
    if (world.catalogue.properties.get(key)?.context !== "usr")
      throw new EmulatorError("invalid_property", `User property "${key}" is not defined. Create it first.`);
    if (value === null) after.delete(key);
    else after.set(key, value);
  }
  return Object.fromEntries(after);
}
