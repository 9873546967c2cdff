import { existsSync, readdirSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { describe, expect, it } from "vitest";
import { loadConfig, secretNames, settingNames } from "../../src/config.ts";

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
const namesIn = (text: string) => [...text.matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, name]) => String(name));

/** Rows of the settings' table: the names they are about, and the defaults they state, where these are values. */
const rows = read("docs/operations.md")
  .split("\n")
  .filter((line) => /^\| `[A-Z_]+`/.test(line))
  .map((line) => {
    const [, names = "", defaults = ""] = line.split("|");
    const stated = /^ `[^`<]+`(, `[^`<]+`)* $/.test(defaults);
    return {
      names: namesIn(names),
      defaults: stated ? defaults.split(",").map((text) => text.replace(/[ `]/g, "")) : [],
    };
  });

describe("docs/operations.md", () => {
  it("has every setting there is, once, and no other", () => {
    expect(rows.flatMap(({ names }) => names).sort()).toEqual([...settingNames].sort());
  });

  it("names the file variable of every secret, and each is read", () => {
    const documented = [...read("docs/operations.md").matchAll(/`([A-Z_]+)_FILE`/g)].map(([, name]) => String(name));
    expect([...new Set(documented)].sort()).toEqual([...secretNames].sort());
    const files = Object.fromEntries(secretNames.map((name) => [`${name}_FILE`, `/no/such/${name}`]));
    const error = (() => {
      try {
        return loadConfig({ KINDE_DOMAIN: "acme.kinde.com", KINDE_MANAGEMENT_CLIENT_ID: "id", ...files });
      } catch (found) {
        return String(found);
      }
    })();
    for (const name of secretNames) expect(error).toContain(`${name}_FILE names a file that cannot be read (ENOENT)`);
    // The value can be the secret, given where its file belongs.
    expect(error).not.toContain("/no/such");
  });

  it("states the defaults that are in force", () => {
    const required = {
      KINDE_DOMAIN: "acme.kinde.com",
      KINDE_MANAGEMENT_CLIENT_ID: "id",
      KINDE_MANAGEMENT_CLIENT_SECRET: "secret",
    };
    const stated = rows.filter(({ names, defaults }) => names.length === defaults.length);
    expect(stated.length).toBeGreaterThan(25);
    for (const { names, defaults } of stated) {
      const asDocumented = Object.fromEntries(names.map((name, index) => [name, defaults[index]]));
      expect(loadConfig({ ...required, ...asDocumented }), names.join()).toEqual(loadConfig(required));
    }
  });
});

describe("docker-compose.yml", () => {
  it("hands on every setting but those the image decides", () => {
    const block = /environment: &settings\n((?: {4}.*\n)+)/.exec(read("docker-compose.yml"))?.[1] ?? "";
    const names = [...block.matchAll(/^ {4}([A-Z_]+):/gm)].map(([, name]) => name);
    const decided = ["HOST", "PORT", "KINDLING_FLAGS"];
    expect(names.sort()).toEqual(settingNames.filter((name) => !decided.includes(name)).sort());
  });
});

describe(".env.example and .env.emulator", () => {
  it.each([".env.example", ".env.emulator"])("name no setting that does not exist: %s", (file) => {
    // Those of compose itself: how many of each service, and its Redis.
    const known = [...settingNames, "KINDLING_SERVERS", "KINDLING_WORKERS", "REDIS_PASSWORD"];
    const names = [...read(file).matchAll(/^(?:# )?([A-Z][A-Z_]+)=/gm)].map(([, name]) => name);
    expect(names.length).toBeGreaterThanOrEqual(3);
    expect(names.filter((name) => !known.includes(String(name)))).toEqual([]);
  });
});

describe("the .env.example of an example", () => {
  it.each(readdirSync(new URL("../../examples", import.meta.url)).filter((name) => exists(name)))(
    "is one that app and service can share: %s",
    (name) => {
      const env = parseEnv(read(`examples/${name}/.env.example`));
      expect(Object.keys(env)).toContain("KINDE_ISSUER_URL");
      expect(loadConfig(env)).toMatchObject({ api: { tokens: [{ name: "KINDLING_API_TOKEN" }] } });
    },
  );
});

function exists(name: string): boolean {
  return existsSync(new URL(`../../examples/${name}/.env.example`, import.meta.url));
}
