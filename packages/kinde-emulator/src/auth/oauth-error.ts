import { json, type Reply } from "../http/reply.ts";

/** An error of an OAuth endpoint. */
export interface OAuthError {
  readonly error: string;
  readonly error_description: string;
  readonly status: number;
}

export const oauthError = (error: string, description: string, status = 400): OAuthError => ({
  error,
  error_description: description,
  status,
});

/** Answers with a body that must not be cached, or with an error in OAuth's format. */
export function oauthReply(answer: object | OAuthError): Reply {
  if (!isOAuthError(answer)) return json(answer, 200, { "cache-control": "no-store", pragma: "no-cache" });
  const { error, error_description, status } = answer;
  const challenge = status === 401 ? { "www-authenticate": `Bearer error="${error}"` } : {};
  return json({ error, error_description }, status, { "cache-control": "no-store", ...challenge });
}

export const isOAuthError = (answer: object): answer is OAuthError => "error_description" in answer;
