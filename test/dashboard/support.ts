import { createLog } from "../../src/log.ts";
import { type RunningDashboard, runDashboard } from "../../src/service/run-dashboard.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";

export const operatorToken = "0123456789abcdef0123456789abcdef";
export const viewerToken = "fedcba9876543210fedcba9876543210";

/** A deployment with its dashboard. */
export interface Board extends Stack {
  url: string;
  /** Sends a request as a page of the dashboard would, with the cookie of a session. */
  send(path: string, init?: RequestInit & { cookie?: string }): Promise<Response>;
  /** Signs in and returns the cookie. */
  signIn(token?: string): Promise<string>;
  /** Everything that was logged. */
  logged: () => string;
}

/** Starts a deployment with its dashboard. */
export async function startBoard(options: StackOptions = {}): Promise<Board> {
  let lines = "";
  const log = createLog("info", { write: (line) => (lines += line) });
  const stack = await startStack({
    ...options,
    log,
    env: {
      KINDLING_DASHBOARD_PORT: "0",
      KINDLING_DASHBOARD_TOKENS: `alice:operate:${operatorToken},bob:view:${viewerToken}`,
      ...options.env,
    },
  });
  const dashboard: RunningDashboard = await runDashboard(stack.config, stack.world, stack.log, stack.store);
  const { url } = dashboard;
  const send: Board["send"] = (path, { cookie, ...init } = {}) =>
    fetch(url + path, {
      redirect: "manual",
      ...init,
      headers: { origin: url, accept: "text/html", ...(cookie !== undefined && { cookie }), ...init.headers },
    });
  return {
    ...stack,
    url,
    send,
    async signIn(token = operatorToken) {
      const answer = await send("/sign-in", { method: "POST", body: new URLSearchParams({ token }) });
      return cookieOf(answer);
    },
    logged: () => lines,
    async close() {
      await dashboard.close();
      await stack.close();
    },
  };
}

/** Returns the cookie that an answer sets, as a browser would send it back. */
export function cookieOf(answer: Response): string {
  return answer.headers.getSetCookie()[0]?.split(";")[0] ?? "";
}

export const form = (fields: Record<string, string> = {}) => ({ method: "POST", body: new URLSearchParams(fields) });
