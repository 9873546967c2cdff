import { z } from "zod";
import { BadRequest, ok } from "../http/reply.ts";
import { featureFlagOf } from "../kinde/feature-flags.ts";
import { organizationOf, userOf } from "../kinde/world.ts";
import type { FeatureFlagState } from "../state/catalogue.ts";
import type { FeatureFlag, FeatureFlagValue } from "../truth-types.ts";
import type { ApiCall, ApiDeps, Route } from "./route.ts";

const type = z.enum(["str", "int", "bool"]);
const level = z.enum(["env", "org", "usr"]);
const creation = z.object({
  name: z.string().min(1),
  description: z.string().exactOptional(),
  key: z.string().min(1),
  type,
  allow_override_level: level.exactOptional(),
  default_value: z.string(),
});
const environmentValue = z.object({ value: z.string() });

/** Routes for feature flags and their values in the environment, in an organization and for a user. */
export function featureFlagRoutes(deps: ApiDeps): Route[] {
  return [...definitionRoutes(deps), ...environmentRoutes(deps), ...organizationRoutes(deps), userRoute(deps)];
}

const FLAG = "feature_flag_key";

function definitionRoutes({ actions }: ApiDeps): Route[] {
  return [
    {
      method: "POST",
      path: "/feature_flags",
      scope: "create:feature_flags",
      handle: async (call) => {
        const body = await call.body(creation);
        actions.createFeatureFlag(body.key, parsed(body.type, body.default_value), {
          name: body.name,
          ...(body.description !== undefined && { description: body.description }),
          ...(body.allow_override_level && { allowOverrideLevel: body.allow_override_level }),
        });
        return ok({}, 201);
      },
    },
    {
      method: "PUT",
      path: `/feature_flags/{${FLAG}}`,
      scope: "update:feature_flags",
      handle: (call) => {
        const changes = {
          name: required(call, "name"),
          description: required(call, "description"),
          allowOverrideLevel: oneOf(level, required(call, "allow_override_level"), "allow_override_level"),
          defaultValue: parsed(oneOf(type, required(call, "type"), "type"), required(call, "default_value")),
        };
        actions.updateFeatureFlag(call.param(FLAG), changes);
        return ok();
      },
    },
    {
      method: "DELETE",
      path: `/feature_flags/{${FLAG}}`,
      scope: "delete:feature_flags",
      handle: (call) => {
        actions.deleteFeatureFlag(call.param(FLAG));
        return ok();
      },
    },
  ];
}

function environmentRoutes({ world, actions }: ApiDeps): Route[] {
  const path = "/environment/feature_flags";
  const flags = () => [...world.catalogue.featureFlags.values()];
  return [
    {
      method: "GET",
      path,
      scope: "read:environment_feature_flags",
      handle: () =>
        ok({ feature_flags: shape(flags(), ({ environmentValue, defaultValue }) => environmentValue ?? defaultValue) }),
    },
    {
      method: "DELETE",
      path,
      scope: "delete:environment_feature_flags",
      handle: () => {
        for (const { key } of flags()) actions.setFeatureFlag(key, null);
        return ok();
      },
    },
    {
      method: "PATCH",
      path: `${path}/{${FLAG}}`,
      scope: "update:environment_feature_flags",
      handle: async (call) => {
        const { key, type } = featureFlagOf(world, call.param(FLAG));
        actions.setFeatureFlag(key, parsed(type, (await call.body(environmentValue)).value));
        return ok();
      },
    },
    {
      method: "DELETE",
      path: `${path}/{${FLAG}}`,
      scope: "delete:environment_feature_flags",
      handle: (call) => {
        actions.setFeatureFlag(call.param(FLAG), null);
        return ok();
      },
    },
  ];
}

function organizationRoutes({ world, actions }: ApiDeps): Route[] {
  const path = "/organizations/{org_code}/feature_flags";
  const codeOf = (call: ApiCall) => organizationOf(world, call.param("org_code")).code;
  const flags = () => [...world.catalogue.featureFlags.values()];
  return [
    {
      method: "GET",
      path,
      scope: "read:organization_feature_flags",
      handle: (call) => {
        const code = codeOf(call);
        const valueIn = (flag: FeatureFlagState) =>
          flag.organizationValues.get(code) ?? flag.environmentValue ?? flag.defaultValue;
        return ok({ feature_flags: shape(flags(), valueIn) });
      },
    },
    {
      method: "DELETE",
      path,
      scope: "delete:organization_feature_flags",
      handle: (call) => {
        const organization = codeOf(call);
        for (const { key, organizationValues } of flags())
          if (organizationValues.has(organization)) actions.setFeatureFlag(key, null, { organization });
        return ok();
      },
    },
    {
      method: "PATCH",
      path: `${path}/{${FLAG}}`,
      scope: "update:organization_feature_flags",
      handle: (call) => {
        const organization = codeOf(call);
        const { key, type } = featureFlagOf(world, call.param(FLAG));
        actions.setFeatureFlag(key, parsed(type, required(call, "value")), { organization });
        return ok();
      },
    },
    {
      method: "DELETE",
      path: `${path}/{${FLAG}}`,
      scope: "delete:organization_feature_flags",
      handle: (call) => {
        actions.setFeatureFlag(call.param(FLAG), null, { organization: codeOf(call) });
        return ok();
      },
    },
  ];
}

const userRoute = ({ world, actions }: ApiDeps): Route => ({
  method: "PATCH",
  path: `/users/{user_id}/feature_flags/{${FLAG}}`,
  scope: "update:user_feature_flags",
  handle: (call) => {
    const { id } = userOf(world, call.param("user_id"));
    const { key, type } = featureFlagOf(world, call.param(FLAG));
    actions.setFeatureFlag(key, parsed(type, required(call, "value")), { user: id });
    return ok();
  },
});

const shape = (flags: readonly FeatureFlagState[], valueIn: (flag: FeatureFlagState) => FeatureFlagValue) =>
  Object.fromEntries(flags.map((flag) => [flag.key, { type: flag.type, value: String(valueIn(flag)) }]));

function required(call: ApiCall, name: string): string {
  const value = call.searchParams().get(name);
  if (value === null) throw new BadRequest(`The query parameter ${name} is required.`, `${name}_missing`);
  return value;
}

function oneOf<T extends string>(values: z.ZodType<T>, text: string, name: string): T {
  const found = values.safeParse(text);
  if (!found.success) throw new BadRequest(`${name} is not one of the allowed values.`, `invalid_${name}`);
  return found.data;
}

/** The API sends every value as text. */
function parsed(type: FeatureFlag["type"], text: string): FeatureFlagValue {
  if (type === "str") return text;
  if (type === "int" && /^-?\d+$/.test(text)) return Number(text);
  if (type === "bool" && (text === "true" || text === "false")) return text === "true";
  throw new BadRequest(`"${text}" is not a value of type ${type}.`, "invalid_feature_flag");
}
