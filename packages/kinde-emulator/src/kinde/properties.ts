import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random-id.ts";
import type { KindeActions } from "../types.ts";
import { userOf, type World } from "./world.ts";

/** Properties of users: no change of them fires any event. */
export function createPropertyActions(world: World): Pick<KindeActions, "setProperties" | "createProperty"> {
  return {
    setProperties: (id, properties) => {
      const user = userOf(world, id);
      world.users.put({ ...user, properties: definedProperties(world, user.properties, properties) });
    },
    createProperty: (key, definition = {}) => {
      if (world.catalogue.properties.has(key))
        throw new EmulatorError("property_already_exists", `There is a property "${key}" already.`);
      const property = {
        id: newId.property(),
        key,
        name: key,
        description: "",
        isPrivate: false,
        isKindeProperty: false,
        context: "usr" as const,
        ...definition,
      };
      world.catalogue.properties.set(key, property);
      return property;
    },
  };
}

/** `before` with `changes` made; a key nobody defined for users is refused. */
export function definedProperties(
  world: World,
  before: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const after = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(changes)) {
    if (world.catalogue.properties.get(key)?.context !== "usr")
      throw new EmulatorError("invalid_property", `No user property "${key}" is defined; create it first.`);
    if (value === null) after.delete(key);
    else after.set(key, value);
  }
  return Object.fromEntries(after);
}
