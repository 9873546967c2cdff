import { KindeError } from "../errors.ts";
import type { CallOptions } from "../kinde/management-api.ts";
import type { Webhook, Webhooks } from "../kinde/webhooks.ts";
import { withoutCredentials } from "../words.ts";

/** Whether our webhook exists and is subscribed to every required event type. */
export interface WebhookCheck {
  /** `incomplete`: event types are missing. `unknown`: the check failed; see `reason`. */
  state: "ok" | "missing" | "incomplete" | "unknown";
  /** Milliseconds since the epoch. */
  checkedAt: number;
  /** URL of the webhook, if it exists, without credentials: it is shown and logged. */
  endpoint?: string;
  missingTypes?: string[];
  reason?: string;
}

/** Options for {@link checkWebhook}. */
export interface CheckWebhookOptions {
  webhooks: Pick<Webhooks, "list" | "eventTypes">;
  /** URL of our webhook. Default: any URL that ends with our route. */
  url: string | undefined;
  /** Event types that it must be subscribed to. */
  needed: readonly string[];
  now: () => number;
}

const route = "/webhooks/kinde";

/**
 * Checks whether our webhook exists in Kinde. It cannot tell whether Kinde has disabled the webhook.
 *
 * @throws {ThrottledError} if calls to Kinde are suspended
 */
export async function checkWebhook(options: CheckWebhookOptions, call: CallOptions): Promise<WebhookCheck> {
  const { webhooks, url, now } = options;
  try {
    const [all, known] = await Promise.all([webhooks.list(call), webhooks.eventTypes(call)]);
    return { ...judge(all.filter(isOurs(url)), needed(options, known)), checkedAt: now() };
  } catch (error) {
    if (!(error instanceof KindeError)) throw error;
    const reason = error.code === "kinde_forbidden" ? "grant the application the scope read:webhooks" : error.message;
    return { state: "unknown", reason, checkedAt: now() };
  }
}

/** Returns a predicate for the webhooks of this deployment. */
export function isOurs(url: string | undefined): (webhook: Webhook) => boolean {
  return ({ endpoint }) => (url === undefined ? pathOf(endpoint).endsWith(route) : sameUrl(endpoint, url));
}

/** Returns whether two strings are the same URL. */
export function sameUrl(one: string, other: string): boolean {
  return URL.canParse(one) && URL.canParse(other) && new URL(one).href === new URL(other).href;
}

// A webhook cannot subscribe to a type that Kinde does not support.
function needed({ needed }: CheckWebhookOptions, known: ReadonlySet<string> | undefined): string[] {
  return needed.filter((type) => known?.has(type) ?? true);
}

function judge(ours: readonly Webhook[], needed: readonly string[]): Omit<WebhookCheck, "checkedAt"> {
  const lacking = ({ eventTypes }: Webhook) => needed.filter((type) => !eventTypes.includes(type));
  const best = [...ours].sort((a, b) => lacking(a).length - lacking(b).length)[0];
  if (best === undefined) return { state: "missing" };
  const missingTypes = lacking(best);
  const endpoint = withoutCredentials(best.endpoint);
  return missingTypes.length === 0 ? { state: "ok", endpoint } : { state: "incomplete", endpoint, missingTypes };
}

function pathOf(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).pathname : "";
}
