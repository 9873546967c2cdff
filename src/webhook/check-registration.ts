import { KindeError } from "../errors.ts";
import type { CallOptions } from "../kinde/management-api.ts";
import type { Webhook, Webhooks } from "../kinde/webhooks.ts";

/** Whether Kinde has a webhook of ours, and tells it enough. */
export interface WebhookCheck {
  /** `incomplete`: it is told too few event types. `unknown`: Kinde would not say, for `reason`. */
  state: "ok" | "missing" | "incomplete" | "unknown";
  /** Milliseconds since the epoch. */
  checkedAt: number;
  /** Where it delivers, if there is one. */
  endpoint?: string;
  missingTypes?: string[];
  reason?: string;
}

/** What checking needs. */
export interface CheckWebhookOptions {
  webhooks: Pick<Webhooks, "list" | "eventTypes">;
  /** Where ours delivers; absent: whichever ends in our route. */
  url: string | undefined;
  /** Event types it must be told. */
  needed: readonly string[];
  now: () => number;
}

const route = "/webhooks/kinde";

/**
 * Asks Kinde whether our webhook is there. Only that: whether it was switched off, Kinde does not tell.
 *
 * @throws {ThrottledError} when there is no room for the call
 */
export async function checkWebhook(options: CheckWebhookOptions, call: CallOptions): Promise<WebhookCheck> {
  const { webhooks, url, now } = options;
  try {
    const [all, known] = [await webhooks.list(call), await webhooks.eventTypes(call)];
    return { ...judge(all.filter(isOurs(url)), needed(options, known)), checkedAt: now() };
  } catch (error) {
    if (!(error instanceof KindeError)) throw error;
    const reason =
      error.code === "kinde_forbidden" ? "give the application the scope read:webhooks" : `${error.message}`;
    return { state: "unknown", reason, checkedAt: now() };
  }
}

/** Whether a webhook is this deployment's. */
export function isOurs(url: string | undefined): (webhook: Webhook) => boolean {
  return ({ endpoint }) => (url === undefined ? pathOf(endpoint).endsWith(route) : sameUrl(endpoint, url));
}

/** Whether two texts are one URL. */
export function sameUrl(one: string, other: string): boolean {
  return URL.canParse(one) && URL.canParse(other) && new URL(one).href === new URL(other).href;
}

// A type that this Kinde does not know could not be subscribed to either.
function needed({ needed }: CheckWebhookOptions, known: ReadonlySet<string> | undefined): string[] {
  return needed.filter((type) => known?.has(type) ?? true);
}

function judge(ours: readonly Webhook[], needed: readonly string[]): Omit<WebhookCheck, "checkedAt"> {
  const lacking = ({ eventTypes }: Webhook) => needed.filter((type) => !eventTypes.includes(type));
  const best = [...ours].sort((a, b) => lacking(a).length - lacking(b).length)[0];
  if (best === undefined) return { state: "missing" };
  const missingTypes = lacking(best);
  const { endpoint } = best;
  return missingTypes.length === 0 ? { state: "ok", endpoint } : { state: "incomplete", endpoint, missingTypes };
}

function pathOf(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).pathname : "";
}
