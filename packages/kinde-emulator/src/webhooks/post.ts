import { type ClientRequest, Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";

/** Result of one attempt: an HTTP status, or the failure. */
export type AttemptResult = number | "timeout" | "unreachable";

/** Posts over its own keep-alive connections. `close` destroys them. */
export interface Poster {
  post(url: string, body: string, headers: Record<string, string>): Promise<AttemptResult>;
  close(): void;
}

export function createPoster(timeoutMs: number): Poster {
  const http = new HttpAgent({ keepAlive: true });
  const https = new HttpsAgent({ keepAlive: true });
  const inFlight = new Set<ClientRequest>();

  const attempt = (url: URL, body: string, headers: Record<string, string>): Promise<AttemptResult | "stale"> =>
    new Promise((resolve) => {
      const secure = url.protocol === "https:";
      const sent = (secure ? httpsRequest : httpRequest)(url, {
        method: "POST",
        agent: secure ? https : http,
        headers,
      });
      const timer = setTimeout(() => finish("timeout"), timeoutMs);
      inFlight.add(sent);
      const finish = (result: AttemptResult | "stale") => {
        clearTimeout(timer);
        inFlight.delete(sent);
        if (result === "timeout") sent.destroy();
        resolve(result);
      };
      sent.once("response", (response) => {
        response.resume();
        response.once("end", () => finish(response.statusCode ?? "unreachable"));
        response.once("error", () => finish("unreachable"));
      });
      sent.on("error", () => finish(sent.reusedSocket ? "stale" : "unreachable"));
      sent.end(body);
    });

  return {
    post: async (url, body, headers) => {
      const target = new URL(url);
      const all = { "content-length": String(Buffer.byteLength(body)), ...headers };
      // A failure on a reused connection is not the receiver's: it can have closed an idle connection. Retry on a new one.
      const first = await attempt(target, body, all);
      if (first !== "stale") return first;
      const second = await attempt(target, body, { ...all, connection: "close" });
      return second === "stale" ? "unreachable" : second;
    },
    close: () => {
      for (const sent of inFlight) sent.destroy(new Error("The emulator was closed."));
      http.destroy();
      https.destroy();
    },
  };
}
