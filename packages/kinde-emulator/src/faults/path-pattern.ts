/** Tells whether a path fits a pattern: `*`, `{name}` and `:name` are one segment, `**` any number. */
export function matcher(pattern: string): (path: string) => boolean {
  const source = pattern
    .split("/")
    .map((segment) => {
      if (segment === "**") return ".*";
      if (segment === "*" || /^(?:\{.+\}|:.+)$/.test(segment)) return "[^/]+";
      return segment.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*");
    })
    .join("/");
  const expression = new RegExp(`^${source}$`);
  return (path) => expression.test(path);
}
