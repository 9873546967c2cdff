/** A page a browser arrived at. */
export interface Page {
  url: URL;
  status: number;
  body: string;
  /** Every URL requested on the way, the last one included. */
  visited: string[];
  headers: Headers;
}

export interface Browser {
  /** Requests a URL and follows redirects, as a browser does. */
  open(url: string | URL, init?: RequestInit): Promise<Page>;
  /** Requests a URL without following a redirect. */
  step(url: string | URL, init?: RequestInit): Promise<{ status: number; location: string | null; headers: Headers }>;
  /** Names and values of the cookies of a host. */
  cookies(host: string): Map<string, string>;
}

const MAX_REDIRECTS = 10;

/** Creates a browser without a screen: cookies per host, whatever the port, and redirects. */
export function createBrowser(): Browser {
  const jar = new Map<string, Map<string, string>>();
  const cookiesOf = (host: string) => {
    const known = jar.get(host) ?? new Map<string, string>();
    jar.set(host, known);
    return known;
  };
  const request = async (url: URL, init: RequestInit) => {
    const cookies = cookiesOf(url.hostname);
    const headers = new Headers(init.headers);
    if (cookies.size > 0) headers.set("cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(";");
      const name = pair.slice(0, pair.indexOf("=")).trim();
      const isExpired = attributes.some((one) => /^\s*(max-age=0|expires=thu, 01 jan 1970)/i.test(one));
      if (isExpired) cookies.delete(name);
      else cookies.set(name, pair.slice(pair.indexOf("=") + 1));
    }
    return response;
  };
  return {
    open: async (url, init = {}) => {
      const visited: string[] = [];
      let target = new URL(url);
      let response = await request(target, init);
      visited.push(target.href);
      while (response.headers.has("location")) {
        if (visited.length > MAX_REDIRECTS) throw new Error(`Too many redirects: ${visited.join(" → ")}`);
        target = new URL(response.headers.get("location") ?? "", target);
        response = await request(target, {});
        visited.push(target.href);
      }
      return { url: target, status: response.status, body: await response.text(), visited, headers: response.headers };
    },
    step: async (url, init = {}) => {
      const response = await request(new URL(url), init);
      await response.arrayBuffer();
      return { status: response.status, location: response.headers.get("location"), headers: response.headers };
    },
    cookies: cookiesOf,
  };
}
