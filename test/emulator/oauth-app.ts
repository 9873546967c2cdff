import type { Application, Emulator } from "kinde-emulator";
import type { Browser } from "../support/browser.ts";

export const CALLBACK = "http://localhost:3999/callback";

interface TokenSet {
  access_token: string;
  id_token: string;
  refresh_token: string;
  expires_in: number;
  scope: string;
  error: string;
}

/** An app that speaks OAuth by hand, to reach what no SDK does. */
export function appOf(emulator: Emulator, application = emulator.applications.list()[0] as Application) {
  const post = async (path: string, form: Record<string, string>, headers: Record<string, string> = {}) => {
    const response = await fetch(emulator.url + path, { method: "POST", body: new URLSearchParams(form), headers });
    return { status: response.status, body: (await response.json()) as TokenSet & Record<string, unknown> };
  };
  const credentials = { client_id: application.clientId, client_secret: application.clientSecret };
  const authUrl = (params: Record<string, string> = {}) => {
    const url = new URL("/oauth2/auth", emulator.url);
    const defaults = {
      client_id: application.clientId,
      redirect_uri: CALLBACK,
      response_type: "code",
      scope: "openid profile email offline",
      state: "some-state",
    };
    url.search = new URLSearchParams({ ...defaults, ...params }).toString();
    return url;
  };
  const app = {
    post,
    credentials,
    authUrl,
    /** Follows one redirect and returns the callback's parameters, or undefined if a page was shown. */
    authorize: async (browser: Browser, params: Record<string, string> = {}, init: RequestInit = {}) => {
      const { location } = await browser.step(authUrl(params), init);
      return location === null ? undefined : Object.fromEntries(new URL(location).searchParams);
    },
    choose: (browser: Browser, userId: string, params: Record<string, string> = {}) =>
      app.authorize(browser, params, { method: "POST", body: new URLSearchParams({ user: userId }) }),
    exchange: (code: string | undefined, form: Record<string, string> = credentials) =>
      post("/oauth2/token", { grant_type: "authorization_code", code: code ?? "", redirect_uri: CALLBACK, ...form }),
    refresh: (refresh_token: string, form: Record<string, string> = credentials) =>
      post("/oauth2/token", { grant_type: "refresh_token", refresh_token, ...form }),
  };
  return app;
}
