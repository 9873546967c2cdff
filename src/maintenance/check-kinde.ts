import { decodeJwt } from "jose";
import type { Definitions } from "kindling";
import { KindlingError } from "kindling";
import type { extraParts, OrganizationPart, ProfilePart } from "kindling/contract";
import { connectionProblem } from "../errors.ts";
import type { Fetch } from "../fetch.ts";
import type { AccessTokens } from "../kinde/access-token.ts";
import { parseJson, readText, withDeadline } from "../kinde/request.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import { plural } from "../words.ts";
import { type Check, checksOf } from "./check.ts";
import { clockCheck } from "./check-redis.ts";

/** Options for {@link checkKindeDomain}. */
export interface CheckDomainOptions {
  fetch: Fetch;
  now: () => number;
  domain: string;
  timeoutMs: number;
  signal: AbortSignal;
}

const maxKeySetBytes = 1024 * 1024;

/** Checks whether the domain is Kinde's: whether it has signing keys, and what its clock says. */
export async function checkKindeDomain(options: CheckDomainOptions): Promise<Check[]> {
  const { fetch, now, domain, timeoutMs, signal } = options;
  const { ok, failed } = checksOf("Kinde domain");
  const url = `${domain}/.well-known/jwks`;
  try {
    const before = now();
    const { status, text, date } = await withDeadline(signal, timeoutMs, async (deadline) => {
      const response = await fetch(url, { redirect: "error", signal: deadline });
      return {
        status: response.status,
        text: await readText(response, maxKeySetBytes),
        date: Date.parse(response.headers.get("date") ?? ""),
      };
    });
    const body = parseJson(text);
    const keys =
      typeof body === "object" && body !== null && "keys" in body && Array.isArray(body.keys) ? body.keys : [];
    if (status !== 200 || keys.length === 0) {
      return [failed(`${url} has no signing keys (status ${status})`, "Check KINDE_DOMAIN: it is not a Kinde domain.")];
    }
    // The header has whole seconds.
    const clock = Number.isNaN(date) ? [] : [clockCheck("Kinde clock", date + 500 - (before + now()) / 2)];
    return [ok(`${domain}, ${plural(keys.length, "signing key")}`), ...clock];
  } catch (error) {
    signal.throwIfAborted();
    const reason = connectionProblem(error) ?? `no readable answer within ${timeoutMs} ms`;
    return [failed(`${url} cannot be read: ${reason}`, "Check KINDE_DOMAIN, and the network between here and Kinde.")];
  }
}

interface NeededScope {
  scopes: readonly string[];
  what: string;
  /** Whether Kindling does not work without it. */
  required: boolean;
}

/** Options for {@link neededScopes}. */
export interface ScopeOptions {
  keep: ReadonlySet<ProfilePart>;
  definitions: Definitions | undefined;
  /** Whether the write API is switched on. */
  writes: boolean;
}

function neededScopes({ keep, definitions, writes }: ScopeOptions): NeededScope[] {
  const needs = (part: (typeof extraParts)[number]) => keep.has(part) || definitions?.mayNeed(part) === true;
  const reads = (part: OrganizationPart) => definitions?.needs.has(part) === true;
  return [
    { scopes: ["read:users", "read:user_properties"], what: "every refresh", required: true },
    { scopes: ["read:organization_user_roles"], what: "roles", required: needs("roles") },
    {
      scopes: [
        "read:roles",
        "read:role_permissions",
        "read:permissions",
        "read:organizations",
        "read:organization_users",
      ],
      what: "comparing roles and permissions in bulk",
      required: false,
    },
    { scopes: ["read:organization_user_permissions"], what: "permissions", required: needs("permissions") },
    { scopes: ["read:billing_agreements"], what: "plans", required: needs("billing") },
    {
      scopes: ["read:organization_properties"],
      what: "properties of organizations",
      required: reads("organizationProperties"),
    },
    { scopes: ["read:organizations"], what: "plans of organizations", required: reads("organizationAgreements") },
    {
      scopes: ["read:organization_users", "read:organization_user_roles"],
      what: "events of organizations and roles",
      required: true,
    },
    { scopes: ["read:webhooks"], what: "checking the webhook", required: false },
    {
      scopes: ["create:webhooks", "update:webhooks", "delete:webhooks"],
      what: "kindling webhook register",
      required: false,
    },
    { scopes: ["update:user_properties"], what: "setting properties", required: writes },
    { scopes: ["update:user_refresh_claims"], what: "refreshing claims", required: false },
  ];
}

/** Checks the credentials, and each scope of the access token. */
export async function checkCredentials(
  tokens: Pick<AccessTokens, "get">,
  options: ScopeOptions,
  signal: AbortSignal,
): Promise<Check[]> {
  const { ok, failed } = checksOf("Kinde credentials");
  let token: string;
  try {
    token = await tokens.get(signal);
  } catch (error) {
    if (!(error instanceof KindlingError)) throw error;
    return [failed(error.message)];
  }
  const granted = scopesOf(token);
  if (granted === undefined) return [ok("accepted"), checksOf("Kinde scopes").skipped("the token does not list them")];
  return [ok("accepted"), ...neededScopes(options).map((needed) => checkScope(needed, granted))];
}

function checkScope({ scopes, what, required }: NeededScope, granted: ReadonlySet<string>): Check {
  const { ok, warning, failed } = checksOf(`Scope for ${what}`);
  const missing = scopes.filter((scope) => !granted.has(scope));
  if (missing.length === 0) return ok(scopes.join(", "));
  const message = `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not granted`;
  const remedy = "Grant it to the machine-to-machine application in Kinde, then run kindling forget-token.";
  return required ? failed(message, remedy) : warning(message, `If you need it: ${remedy}`);
}

function scopesOf(token: string): ReadonlySet<string> | undefined {
  try {
    const { scope, scp } = decodeJwt(token);
    if (Array.isArray(scp)) return new Set(scp.map(String));
    return typeof scope === "string" ? new Set(scope.split(" ")) : undefined;
  } catch {
    return undefined;
  }
}

/** Judges the registration of the webhook. */
export function webhookCheck({ state, endpoint, missingTypes = [], reason = "" }: WebhookCheck, url = "<url>"): Check {
  const { ok, warning, failed } = checksOf("Kinde webhook");
  if (state === "ok") return ok(`registered for ${endpoint}`);
  if (state === "missing") return failed("Kinde has no webhook for Kindling", `Run kindling webhook register ${url}.`);
  if (state === "incomplete") {
    return failed(`it lacks the event types ${missingTypes.join(", ")}`, `Run kindling webhook register ${endpoint}.`);
  }
  return warning(`not checked: ${reason}`);
}
