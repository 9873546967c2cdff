import { z } from "zod";
import type { KindeActions } from "../action-types.ts";
import { BadRequest } from "../http/reply.ts";
import {
  changesSchema,
  flagChangesSchema,
  flagDetailsSchema,
  flagScopeSchema,
  flagValueSchema,
  grantSchema,
  identitySchema,
  inputSchema,
  invitationSchema,
  orgChangesSchema,
  orgSchema,
  permissionChangesSchema,
  propertyChangesSchema,
  roleChangesSchema,
} from "./schemas.ts";

type Action = (args: unknown) => unknown;

const id = z.string().min(1);
const keys = z.array(z.string());
const properties = z.record(z.string(), z.string().nullable());
const bool = z.boolean();
const context = z.strictObject({ context: z.enum(["usr", "org", "app"]) });

/** Actions available over HTTP. Each takes a JSON array of arguments. */
export function createActionTable(kinde: KindeActions): Map<string, Action> {
  return new Map<string, Action>([
    ["createUser", action(z.tuple([inputSchema.optional()]), ([input]) => kinde.createUser(input))],
    ["importUsers", action(z.tuple([z.array(inputSchema)]), ([inputs]) => kinde.importUsers(inputs))],
    ["updateUser", action(z.tuple([id, changesSchema, silent.optional()]), (args) => kinde.updateUser(...args))],
    ["suspendUser", action(z.tuple([id, bool.optional(), silent.optional()]), (args) => kinde.suspendUser(...args))],
    ["deleteUser", action(z.tuple([id, silent.optional()]), (args) => kinde.deleteUser(...args))],
    ["setProperties", action(z.tuple([id, properties]), (args) => kinde.setProperties(...args))],
    ["createProperty", action(z.tuple([id, context.optional()]), (args) => kinde.createProperty(...args))],
    ["updateProperty", action(z.tuple([id, propertyChangesSchema]), (args) => kinde.updateProperty(...args))],
    ["deleteProperty", action(z.tuple([id]), ([key]) => kinde.deleteProperty(key))],
    ["signIn", action(z.tuple([id, success.optional()]), (args) => kinde.signIn(...args))],
    ["identities", action(z.tuple([id]), ([user]) => kinde.identities(user))],
    ["addIdentity", action(z.tuple([id, identitySchema]), (args) => kinde.addIdentity(...args))],
    ["makeIdentityPrimary", action(z.tuple([id]), ([identity]) => kinde.makeIdentityPrimary(identity))],
    ["removeIdentity", action(z.tuple([id]), ([identity]) => kinde.removeIdentity(identity))],
    ["createOrganization", action(z.tuple([orgSchema.optional()]), ([input]) => kinde.createOrganization(input))],
    ["updateOrganization", action(z.tuple([id, orgChangesSchema]), (args) => kinde.updateOrganization(...args))],
    ["deleteOrganization", action(z.tuple([id]), ([code]) => kinde.deleteOrganization(code))],
    [
      "setOrganizationProperties",
      action(z.tuple([id, properties]), (args) => kinde.setOrganizationProperties(...args)),
    ],
    ["assignOrganizationPlan", action(z.tuple([id, id]), (args) => kinde.assignOrganizationPlan(...args))],
    ["cancelOrganizationPlan", action(z.tuple([id]), ([code]) => kinde.cancelOrganizationPlan(code))],
    ["addToOrganization", action(z.tuple([id, id, grantSchema.optional()]), (a) => kinde.addToOrganization(...a))],
    [
      "removeFromOrganization",
      action(z.tuple([id, id, silent.optional()]), (args) => kinde.removeFromOrganization(...args)),
    ],
    ["invitations", action(z.tuple([id]), ([code]) => kinde.invitations(code))],
    ["invite", action(z.tuple([id, invitationSchema]), (args) => kinde.invite(...args))],
    ["revokeInvitation", action(z.tuple([id]), ([code]) => kinde.revokeInvitation(code))],
    ["acceptInvitation", action(z.tuple([id, id]), (args) => kinde.acceptInvitation(...args))],
    ["setRoles", action(z.tuple([id, id, keys]), (args) => kinde.setRoles(...args))],
    ["setPermissions", action(z.tuple([id, id, keys]), (args) => kinde.setPermissions(...args))],
    ["createRole", action(z.tuple([id, keys.optional()]), (args) => kinde.createRole(...args))],
    ["updateRole", action(z.tuple([id, roleChangesSchema]), (args) => kinde.updateRole(...args))],
    ["deleteRole", action(z.tuple([id]), ([key]) => kinde.deleteRole(key))],
    ["createPermission", action(z.tuple([id, id.optional()]), (args) => kinde.createPermission(...args))],
    ["updatePermission", action(z.tuple([id, permissionChangesSchema]), (args) => kinde.updatePermission(...args))],
    ["deletePermission", action(z.tuple([id]), ([key]) => kinde.deletePermission(key))],
    ["assignPlan", action(z.tuple([id, id]), (args) => kinde.assignPlan(...args))],
    ["changePlan", action(z.tuple([id, id]), (args) => kinde.changePlan(...args))],
    ["cancelPlan", action(z.tuple([id]), ([user]) => kinde.cancelPlan(user))],
    [
      "createFeatureFlag",
      action(z.tuple([id, flagValueSchema, flagDetailsSchema.optional()]), (args) => kinde.createFeatureFlag(...args)),
    ],
    ["updateFeatureFlag", action(z.tuple([id, flagChangesSchema]), (args) => kinde.updateFeatureFlag(...args))],
    [
      "setFeatureFlag",
      action(z.tuple([id, flagValueSchema.nullable(), flagScopeSchema.optional()]), (a) => kinde.setFeatureFlag(...a)),
    ],
    ["deleteFeatureFlag", action(z.tuple([id]), ([key]) => kinde.deleteFeatureFlag(key))],
    ["emit", action(z.tuple([id, z.record(z.string(), z.unknown())]), (args) => kinde.emit(...args))],
  ]);
}

const silent = z.strictObject({ silent: bool.exactOptional() });
const success = z.strictObject({ ok: bool.exactOptional() });

function action<T>(schema: z.ZodType<T>, run: (args: T) => unknown): Action {
  return (args) => {
    const parsed = schema.safeParse(args ?? []);
    if (!parsed.success)
      throw new BadRequest(`The body must be a JSON array of arguments. ${z.prettifyError(parsed.error)}`);
    return run(parsed.data);
  };
}
