/** A copy of Kinde's that can lag: calls about users are then answered as they were up to `lagMs` ago. */
export interface Lagging {
  /** `fetch` for the service. */
  fetch: typeof fetch;
  /** Lets the copy lag, or answer the truth. */
  set(lags: boolean): void;
}

/** Routes about one user. The copy of a listing could hide members, which no refresh repairs. */
const aboutUser = /\/api\/v1\/(user\?id=|users\/kp_|organizations\/\w+\/users\/kp_|billing\/agreements)/;

export function createLagging(lagMs: number): Lagging {
  const answers = new Map<string, { at: number; status: number; body: string }>();
  let lagging = false;
  return {
    async fetch(input, init) {
      const url = String(input instanceof Request ? input.url : input);
      const method = init?.method ?? "GET";
      if (method !== "GET" || !aboutUser.test(url)) return fetch(input, init);
      const known = answers.get(url);
      if (lagging && known !== undefined && performance.now() - known.at < lagMs) {
        return new Response(known.body, { status: known.status, headers: { "content-type": "application/json" } });
      }
      // The state can be as old as the start of the call.
      const at = performance.now();
      const response = await fetch(input, init);
      if (response.ok) answers.set(url, { at, status: response.status, body: await response.clone().text() });
      return response;
    },
    set: (lags) => {
      lagging = lags;
    },
  };
}
