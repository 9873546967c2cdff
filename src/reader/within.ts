/** What {@link within} answers when nothing came in time. */
export const nothing = Symbol("nothing");

/** The answer, or `nothing` when it fails or takes longer than `ms`. Never rejects. */
export function within<T>(ms: number, ask: () => Promise<T>): Promise<T | typeof nothing> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, nothing);
    const end = (answer: T | typeof nothing) => {
      clearTimeout(timer);
      resolve(answer);
    };
    try {
      ask().then(end, () => end(nothing));
    } catch {
      end(nothing);
    }
  });
}
