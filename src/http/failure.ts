/** The body of every answer that is not a success: a stable code, and words for whoever debugs. */
export function failure(code: string, message: string) {
  return { error: { code, message } };
}
