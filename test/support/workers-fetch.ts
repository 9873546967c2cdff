/** Refuses what the `fetch` of Cloudflare Workers refuses, in its words, before anything is sent. */
export function workersFetch(fetch = globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    if (init?.redirect === "error") {
      throw new TypeError(
        'Invalid redirect value, must be one of "follow" or "manual" ("error" won\'t be implemented).',
      );
    }
    return fetch(input, init);
  };
}

/** Hides redirects as the `fetch` of browsers does. */
export const browserFetch: typeof globalThis.fetch = async (input, init) => {
  const response = await fetch(input, init);
  return init?.redirect === "manual" && response.status >= 300 && response.status < 400
    ? Object.defineProperties(new Response(), {
        status: { value: 0 },
        type: { value: "opaqueredirect" },
        ok: { value: false },
      })
    : response;
};
