import { blocks } from "../docs/markdown.ts";

/** A documented `ACL SETUSER` command. */
export interface DocumentedAcl {
  file: string;
  user: string;
  rules: string[];
}

/** The commands of the documentation that create Redis users. */
export const documentedAcls: readonly DocumentedAcl[] = blocks
  .filter(({ file }) => ["docs/security.md", "packages/kindling/README.md"].includes(file))
  .flatMap(({ file, code }) =>
    code
      .replaceAll(/\\\n\s*/g, "")
      .split("\n")
      .filter((line) => / reset on /.test(line))
      .map((line) => {
        const [, user = "", rest = ""] = /ACL SETUSER (\w+) (.*)$/.exec(line) ?? [];
        const rules = [...rest.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? "");
        return { file, user, rules };
      }),
  );

/** Returns the URL that a documented user connects with. */
export function urlOfUser(redisUrl: string, { user, rules }: Pick<DocumentedAcl, "user" | "rules">): string {
  const url = new URL(redisUrl);
  url.username = user;
  url.password = rules.find((rule) => rule.startsWith(">"))?.slice(1) ?? "";
  return url.href;
}
