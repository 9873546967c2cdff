import { z } from "zod";

const text = z.string().exactOptional();
const nullable = z.string().nullable().exactOptional();
const bool = z.boolean().exactOptional();
const keys = z.array(z.string()).exactOptional();

const profile = {
  providedId: nullable,
  email: nullable,
  phone: nullable,
  username: nullable,
  firstName: nullable,
  lastName: nullable,
  picture: nullable,
  isSuspended: bool,
};

export const grantSchema = z.strictObject({ roles: keys, permissions: keys });

export const inputSchema = z.strictObject({
  ...profile,
  id: text,
  properties: z.record(z.string(), z.string()).exactOptional(),
  organizations: z.array(z.union([z.string(), grantSchema.extend({ code: z.string() })])).exactOptional(),
});

export const changesSchema = z.strictObject({ ...profile, isPasswordResetRequested: bool });

export const orgChangesSchema = z.strictObject({
  name: text,
  handle: nullable,
  externalId: nullable,
  isAllowRegistrations: bool,
  isAutoMembershipEnabled: bool,
  isSuspended: bool,
});

export const orgSchema = orgChangesSchema.extend({ code: text });

export const identitySchema = z.strictObject({
  type: z.enum(["email", "username", "phone", "social", "enterprise"]),
  identity: z.string(),
  connectionId: text,
});

export const invitationSchema = z.strictObject({
  email: z.string(),
  firstName: nullable,
  lastName: nullable,
  roles: keys,
  isSent: bool,
});

const urls = z.union([z.array(z.string()), z.literal("loopback")]).exactOptional();

export const applicationSchema = z.strictObject({
  clientId: text,
  clientSecret: text,
  name: text,
  callbackUrls: urls,
  logoutUrls: urls,
});

export const flagValueSchema = z.union([z.string(), z.number(), z.boolean()]);

const level = z.enum(["env", "org", "usr"]).exactOptional();

export const flagDetailsSchema = z.strictObject({ name: text, description: text, allowOverrideLevel: level });

export const flagChangesSchema = flagDetailsSchema.extend({ defaultValue: flagValueSchema.exactOptional() });

export const flagScopeSchema = z.strictObject({ organization: text, user: text });

export const roleChangesSchema = z.strictObject({ key: text, name: text, description: text, permissions: keys });

export const permissionChangesSchema = z.strictObject({ key: text, name: text, description: text });

export const propertyChangesSchema = z.strictObject({
  name: text,
  description: text,
  isPrivate: bool,
  categoryId: nullable,
});
