import type { Agreement, OrganizationPart } from "kindling/contract";
import { z } from "zod";
import { KindeError } from "../errors.ts";
import { mustExist } from "./answers.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

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
  code: z.string(),
  billing: z
    .object({
      agreements: z.array(z.object({ agreement_id: z.string().nullish(), plan_code: z.string() })).nullish(),
    })
    .nullish(),
});

/**
 * Fetches the given parts of an organization, at one call each.
 *
 * @throws {ThrottledError} as {@link ManagementApi.get}
 * @throws {KindeError} as {@link ManagementApi.get}, and `kinde_unavailable` for a 404: the accounts of its members name the
 *   organization, so it exists, or they are out of date
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
  const call = {
    path: `/api/v1/organizations/${encodeURIComponent(code)}/properties`,
    route,
    scope: "read:organization_properties",
    answer: propertiesSchema,
  };
  const page = await mustExist(api.get(call, options));
  // As for users: Kinde documents `next_token` but no way to request the next page.
  if (page.next_token) throw new KindeError("kinde_unavailable", `${route} returned only a first page.`);
  return Object.fromEntries(page.properties.map(({ key, value }) => [key, value ?? null]));
}

async function getAgreements(api: ManagementApi, code: string, options: CallOptions) {
  const route = "GET /api/v1/organization";
  const call = {
    path: `/api/v1/organization?code=${encodeURIComponent(code)}&expand=billing`,
    route,
    scope: "read:organizations",
    answer: organizationSchema,
  };
  const organization = await mustExist(api.get(call, options));
  if (organization.code !== code)
    throw new KindeError("kinde_unavailable", `${route} returned a different organization.`);
  return (organization.billing?.agreements ?? []).map(({ agreement_id, plan_code }) => ({
    id: agreement_id ?? "",
    planCode: plan_code,
  }));
}
