import { timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random.ts";
import type { Application, ApplicationInput } from "../types.ts";

/** The format of Kinde's client secrets. Kinde's SDKs refuse any other before they make a call. */
const SECRET = /^[a-zA-Z0-9]{40,60}$/;
const MAX_APPLICATIONS = 1000;

/** The applications users sign in to. */
export interface Applications {
  create(input?: ApplicationInput): Application;
  list(): Application[];
  get(clientId: string): Application | undefined;
}

/** @throws EmulatorError `invalid_application` if the first application's settings are invalid */
export function createApplications(first: ApplicationInput): Applications {
  const applications = new Map<string, Application>();

  const create = (input: ApplicationInput = {}): Application => {
    const application: Application = {
      clientId: input.clientId ?? newId.clientId(),
      clientSecret: input.clientSecret ?? newId.clientSecret(),
      name: input.name ?? "Application",
      callbackUrls: urls(input.callbackUrls),
      logoutUrls: urls(input.logoutUrls),
    };
    if (!SECRET.test(application.clientSecret))
      throw invalid("A client secret consists of 40 to 60 letters and digits, as in Kinde.");
    if (application.clientId === "" || applications.has(application.clientId))
      throw invalid(`The client id "${application.clientId}" is empty or already in use.`);
    if (applications.size >= MAX_APPLICATIONS)
      throw invalid(`An emulator has at most ${MAX_APPLICATIONS} applications.`);
    applications.set(application.clientId, application);
    return application;
  };

  create(first);
  return { create, list: () => [...applications.values()], get: (clientId) => applications.get(clientId) };
}

/** Whether `url` is one of the listed URLs, compared exactly, or a loopback URL if the list is `"loopback"`. */
export function allowsUrl(list: Application["callbackUrls"], url: string): boolean {
  return list === "loopback" ? isLoopback(url) : list.includes(url);
}

/** Whether a page of this origin may call the application's endpoints: one of its callback URLs has that origin. */
export function allowsOrigin({ callbackUrls }: Application, origin: string): boolean {
  if (callbackUrls === "loopback") return isLoopback(origin);
  // URLs with a scheme of an app's own have the origin "null", which sandboxed pages have too.
  return origin !== "null" && callbackUrls.some((url) => new URL(url).origin === origin);
}

export function sameSecret(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  if (!/^https?:$/.test(protocol)) return false;
  const name = hostname.replace(/^\[|\]$/g, "");
  return (
    name === "localhost" || name.endsWith(".localhost") || name === "::1" || (isIP(name) === 4 && /^127\./.test(name))
  );
}

function urls(list: ApplicationInput["callbackUrls"] = "loopback"): Application["callbackUrls"] {
  if (list === "loopback") return list;
  for (const url of list) {
    if (!URL.canParse(url)) throw invalid(`"${url}" is not an absolute URL.`);
    // A page that runs in the browser with the emulator's session must never be reached with a code.
    if (/^(?:javascript|data|vbscript|blob):/i.test(url)) throw invalid(`"${url}" has a scheme that browsers execute.`);
  }
  return [...list];
}

const invalid = (message: string) => new EmulatorError("invalid_application", message);
