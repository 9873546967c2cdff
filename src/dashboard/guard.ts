import type { Context, MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";

/** Options for {@link guard}. */
export interface GuardOptions {
  /** Origin that browsers open; absent: any loopback name. */
  url: string | undefined;
  /** Answers a request that is refused. */
  refuse: (context: Context, refusal: { status: 403 | 421; code: string; message: string }) => Response;
}

const self = ["'self'"];

/** Headers of every answer: nothing from elsewhere, nothing inline, in no frame, kept in no cache. */
export const safeHeaders: MiddlewareHandler = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: self,
    styleSrc: self,
    imgSrc: [...self, "data:"],
    fontSrc: self,
    connectSrc: self,
    formAction: self,
    baseUri: self,
    frameAncestors: ["'none'"],
  },
  xFrameOptions: "DENY",
  strictTransportSecurity: "max-age=15552000",
  // Not `no-referrer`: with it, forms are sent with the origin "null".
  referrerPolicy: "same-origin",
  crossOriginResourcePolicy: "same-origin",
  crossOriginOpenerPolicy: "same-origin",
  permissionsPolicy: { camera: [], microphone: [], geolocation: [], usb: [] },
});

/** Refuses requests to another host, and requests that change something unless a page of the dashboard itself sent them. */
export function guard({ url, refuse }: GuardOptions): MiddlewareHandler {
  return async (context, next) => {
    const host = context.req.header("host") ?? "";
    // A name that leads here through rebound DNS is a foreign site in the browser's eyes.
    if (!(url === undefined ? isLoopback(host) : host === new URL(url).host)) {
      const message = `This is not ${url ?? "a loopback address"}: open the dashboard by the URL of KINDLING_DASHBOARD_URL.`;
      return refuse(context, { status: 421, code: "host_refused", message });
    }
    if (!["GET", "HEAD"].includes(context.req.method) && !isSameOrigin(context, url ?? `http://${host}`)) {
      return refuse(context, { status: 403, code: "origin_refused", message: "Another site sent this request." });
    }
    return next();
  };
}

function isLoopback(host: string): boolean {
  return /^(localhost|[\w-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host);
}

// Every browser sends `Origin` with these methods, and no page can forge it.
function isSameOrigin(context: Context, own: string): boolean {
  const site = context.req.header("sec-fetch-site");
  return context.req.header("origin") === own && (site === undefined || site === "same-origin");
}
