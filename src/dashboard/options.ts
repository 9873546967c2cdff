import type { Context } from "hono";
import type { Definitions } from "kindling";
import type { Config } from "../config.ts";
import type { Refusal } from "../http/body.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Log } from "../log.ts";
import type { RefreshUser } from "../refresh/refresh-user.ts";
import type { SetProperties } from "../refresh/set-properties.ts";
import type { Store } from "../store.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import type { DashboardContext, RenderPage } from "./page.tsx";

/** The operations that buttons start. */
export interface Operations {
  kinde: ManagementApi;
  refreshUser: RefreshUser;
  setProperties: SetProperties;
  checkWebhook(call: CallOptions): Promise<WebhookCheck>;
}

/** Dependencies that all pages share. */
export interface PageDeps {
  config: Config;
  store: Store;
  operations: Operations;
  definitions: Definitions;
  page: RenderPage;
  /** Options of a call to Kinde; refuses an operator who causes too many. */
  call(context: DashboardContext): CallOptions;
  /** Runs what an operator asked for, if the role allows it, and notes it with its outcome. */
  act: Act;
  refuse: RefusePage;
  now: () => number;
  log: Pick<Log, "info">;
}

/** Renders the page of a refused request, counted and limited like every refused request. */
export type RefusePage = (
  context: Context,
  refusal: Pick<Refusal, "status" | "code" | "message" | "blame" | "retryAfter">,
) => Response | Promise<Response>;

/** What is noted of an action. */
export interface ActionNote {
  /** Without values: `set plan_tier`. */
  action: string;
  /** Noted instead if the action fails, for one that names what can be anything until Kinde or a queue knows it. */
  failed?: string;
  subject: string;
  /** The user whose trail it enters. */
  userId?: string;
}

/** Runs an action. Rejects with its error, after noting it. */
export type Act = <T>(context: DashboardContext, note: ActionNote, run: () => Promise<T>) => Promise<T>;
