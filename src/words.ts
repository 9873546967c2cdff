const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** Formats a duration with at most two units: `850 ms`, `42 s`, `3 m 20 s`, `2 d 4 h`. */
export function durationWords(ms: number): string {
  const first = units.findIndex(([, size]) => ms >= size);
  const largest = units[first];
  if (largest === undefined) return `${Math.round(Math.max(0, ms))} ms`;
  const [unit, size] = largest;
  const whole = Math.floor(ms / size);
  const next = units[first + 1];
  const rest = next === undefined ? 0 : Math.floor((ms - whole * size) / next[1]);
  return next === undefined || rest === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${rest} ${next[0]}`;
}

/** Formats a count with thousands separators: `1,250,000`. */
export function countWords(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** Formats a count and its noun: `1 user`, `2 users`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${countWords(count)} ${count === 1 ? noun : nouns}`;
}

/** Formats a share from 0 to 1 as `12.5%`. Only exact values show as `0%` or `100%`. */
export function percentWords(share: number): string {
  const percent = share * 100;
  if (percent > 99.9 && percent < 100) return "over 99.9%";
  if (percent > 0 && percent < 0.1) return "under 0.1%";
  return `${percent.toFixed(1).replace(/\.0$/, "")}%`;
}

/** Formats an instant as an ISO 8601 date and time in UTC, without milliseconds. */
export function instantWords(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

// C0 and C1 controls, and Unicode's bidirectional, invisible and separating characters: what can move a cursor, hide text
// or turn it around.
const unprintable =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be shown as they are
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Escapes characters that cannot be seen or that change how others are shown: `\u202e`. */
export function visible(text: string): string {
  return text.replace(unprintable, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// The placeholder in our own messages is no secret. Without the scheme: searching for one takes quadratic time.
const credentials = /:\/\/(?!:<password>@)[^\s/?#"'@]+@/g;

/** Masks the credentials of URLs: `https://***@example.com`. */
export function withoutCredentials(text: string): string {
  return text.replace(credentials, "://***@");
}
