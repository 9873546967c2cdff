/** Returns texts that no stored shape accepts, derived from a valid value, each with what is wrong. */
export function unreadable(valid: object): [what: string, text: string][] {
  return [
    ["text that is not JSON", "no JSON"],
    ["truncated JSON", JSON.stringify(valid).slice(0, -1)],
    ["null", "null"],
    ["a number", "7"],
    ["an empty object", "{}"],
    ["members of wrong types", JSON.stringify(Object.fromEntries(Object.keys(valid).map((key) => [key, { no: 1 }])))],
    ["a newer version", JSON.stringify({ ...valid, v: 1_000 })],
  ];
}
