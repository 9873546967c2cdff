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
});

export const orgSchema = orgChangesSchema.extend({ code: text });

export const roleChangesSchema = z.strictObject({ key: text, name: text, description: text, permissions: keys });

export const permissionChangesSchema = z.strictObject({ key: text, name: text, description: text });
