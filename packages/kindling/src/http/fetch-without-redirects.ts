/** Thrown for an answer that redirects. */
export class RedirectRefused extends Error {}

/**
 * Sends a request, and refuses an answer that redirects, so that the token goes nowhere else.
 *
 * @throws {RedirectRefused} Its message completes "The service …"
 */
export async function fetchWithoutRedirects(
  fetch: typeof globalThis.fetch,
  url: string,
  init: Omit<RequestInit, "redirect">,
): Promise<Response> {
  // Cloudflare Workers throw a TypeError for `redirect: "error"`.
  // https://developers.cloudflare.com/workers/runtime-apis/request/#requestinit
  const response = await fetch(url, { ...init, redirect: "manual" });
  const { status } = response;
  // Browsers hide a redirect: its status is 0.
  const redirects = status === 0 || (status >= 300 && status < 400);
  if (!redirects) return response;
  await response.body?.cancel().catch(() => undefined);
  throw new RedirectRefused(`answered with a redirect${status === 0 ? "" : ` (status ${status})`}: check the URL`);
}
