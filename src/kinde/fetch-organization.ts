import type { Agreement, OrganizationPart } from "kindling/contract";
import { z } from "zod";
import { KindeError } from "../errors.ts";
import type { Call, CallOptions, ManagementApi } from "./management-api.ts";

/** What belongs to an organization itself and so to all its members. A part that was not fetched is absent. */
export interface OrganizationDetails {
  properties?: Readonly<Record<string, string | null>>;
  agreements?: readonly Agreement[];
}

const propertiesSchema = z.object({
  properties: z.array(z.object({ key: z.string(), value: z.string().nullish() })),
  next_token: z.string().nullish(),
});

const organizationSchema = z.object({
  billing: z
    .object({
      agreements: z.array(z.object({ agreement_id: z.string().nullish(), plan_code: z.string() })).nullish(),
    })
    .nullish(),
});

/**
 * Fetches the given parts of an organization, at one call each. A deleted organization has neither properties nor
 * agreements: Kinde sends an event for its members.
 *
 * @throws {ThrottledError} as {@link ManagementApi.get}
 * @throws {KindeError} as {@link ManagementApi.get}
 */
export async function fetchOrganization(
  api: ManagementApi,
  code: string,
  parts: ReadonlySet<OrganizationPart>,
  options: CallOptions,
): Promise<OrganizationDetails> {
  const [properties, agreements] = await Promise.all([
    parts.has("organizationProperties") ? getProperties(api, code, options) : undefined,
    parts.has("organizationAgreements") ? getAgreements(api, code, options) : undefined,
  ]);
  return { ...(properties && { properties }), ...(agreements && { agreements }) };
}

async function getProperties(api: ManagementApi, code: string, options: CallOptions) {
  const route = "GET /api/v1/organizations/{code}/properties";
  const page = await unlessGone(api, options, {
    path: `/api/v1/organizations/${encodeURIComponent(code)}/properties`,
    route,
    scope: "read:organization_properties",
    answer: propertiesSchema,
  });
  // As for users: Kinde documents `next_token` but no way to request the next page.
  if (page?.next_token) throw new KindeError("kinde_unavailable", `${route} returned only a first page.`);
  return Object.fromEntries((page?.properties ?? []).map(({ key, value }) => [key, value ?? null]));
}

async function getAgreements(api: ManagementApi, code: string, options: CallOptions) {
  const organization = await unlessGone(api, options, {
    path: `/api/v1/organization?code=${encodeURIComponent(code)}&expand=billing`,
    route: "GET /api/v1/organization",
    scope: "read:organizations",
    answer: organizationSchema,
  });
  return (organization?.billing?.agreements ?? []).map(({ agreement_id, plan_code }) => ({
    id: agreement_id ?? "",
    planCode: plan_code,
  }));
}

async function unlessGone<T>(api: ManagementApi, options: CallOptions, call: Call<T>): Promise<T | undefined> {
  try {
    return await api.get(call, options);
  } catch (error) {
    if (error instanceof KindeError && error.code === "kinde_not_found") return undefined;
    throw error;
  }
}
