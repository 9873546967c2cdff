import { type ClientRequest, Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";

/** What one attempt came to. */
export type AttemptResult = number | "timeout" | "unreachable";

/** Posts over kept-alive connections of its own, which `close` cuts. */
export interface Poster {
  post(url: string, body: string, headers: Record<string, string>): Promise<AttemptResult>;
  close(): void;
}

export function createPoster(timeoutMs: number): Poster {
  const http = new HttpAgent({ keepAlive: true });
  const https = new HttpsAgent({ keepAlive: true });
  const inHand = new Set<ClientRequest>();

  const attempt = (url: URL, body: string, headers: Record<string, string>): Promise<AttemptResult | "stale"> =>
    new Promise((resolve) => {
      const secure = url.protocol === "https:";
      const sent = (secure ? httpsRequest : httpRequest)(url, {
        method: "POST",
        agent: secure ? https : http,
        headers,
      });
      const timer = setTimeout(() => finish("timeout"), timeoutMs);
      inHand.add(sent);
      const finish = (result: AttemptResult | "stale") => {
        clearTimeout(timer);
        inHand.delete(sent);
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
      // A kept connection may have been closed under us; that is no failure of the receiver's.
      const first = await attempt(target, body, all);
      if (first !== "stale") return first;
      const second = await attempt(target, body, { ...all, connection: "close" });
      return second === "stale" ? "unreachable" : second;
    },
    close: () => {
      for (const sent of inHand) sent.destroy(new Error("The emulator was closed."));
      http.destroy();
      https.destroy();
    },
  };
}
