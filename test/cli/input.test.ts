import { describe, expect, it } from "vitest";
import { testRedisUrl } from "../support/redis-url.ts";
import { uniquePrefix } from "../support/stack.ts";
import { kindling, spawnKindling } from "./command-line.ts";

const settings = () => ({
  KINDE_DOMAIN: "http://127.0.0.1:1",
  KINDE_MANAGEMENT_CLIENT_ID: "id",
  KINDE_MANAGEMENT_CLIENT_SECRET: "a-very-secret-secret",
  REDIS_URL: testRedisUrl(),
  KINDLING_PREFIX: uniquePrefix(),
  KINDLING_REDIS_TIMEOUT: "300ms",
});

const user = "kp_0123456789abcdef0123456789abcdef";

describe("bad input", () => {
  it.each([
    ["an unknown command", ["statsu"], "unknown command 'statsu' (Did you mean status?)"],
    ["an unknown option", ["status", "--jsn"], "unknown option '--jsn' (Did you mean --json?)"],
    ["an unknown subcommand", ["failed", "forget"], "too many arguments for 'failed'"],
    ["a missing argument", ["inspect"], "missing required argument 'userId'"],
    ["a malformed user id", ["inspect", "someone@example.com"], "A user id is kp_"],
    ["one malformed id of many", ["reprocess", user, "kp-1"], "'kp-1'"],
    ["a malformed organization", ["reprocess", "--org", "acme"], "An organization's code is org_"],
    ["nothing to reprocess", ["reprocess"], "exactly one"],
    ["two things to reprocess", ["reprocess", user, "--all"], "exactly one"],
    ["a restart of nothing", ["reprocess", "--failed", "--restart"], "--restart goes with --all"],
    ["nothing to retry", ["failed", "retry"], "either ids or --all"],
    ["ids and all", ["failed", "discard", user, "--all"], "either ids or --all"],
    ["a malformed member", ["failed", "retry", "role"], "role:<id>"],
    ["a sample of nothing", ["verify", "--sample", "0"], "from 1 to"],
    ["a webhook id that is none", ["webhook", "delete", "a/b"], "letters, digits"],
    ["a webhook address that is none", ["webhook", "register", "kindling"], "Expected a URL"],
    ["a port that is none", ["emulator", "--port", "70000"], "from 0 to 65535"],
    ["a webhook that is no URL", ["emulator", "--webhook", "localhost"], "must be a URL"],
  ])("%s is one line on standard error and exit code 2", async (_what, args, words) => {
    const { code, stdout, stderr } = await kindling(args, settings());
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("names every setting that does not fit, each on its own line", async () => {
    const env = { ...settings(), KINDE_DOMAIN: "", PORT: "http", KINDLING_PREFIX: "a b" };
    const { code, stdout, stderr } = await kindling(["status"], env);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.map((line) => /^error: (\w+) /.exec(line)?.[1])).toEqual(["KINDE_DOMAIN", "PORT", "KINDLING_PREFIX"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("a flags file that is missing is bad input for the command that derives, and for no other", async () => {
    const env = { ...settings(), KINDLING_FLAGS: "no-such.flags.ts" };
    const inspected = await kindling(["inspect", user], env);
    expect(inspected.code).toBe(2);
    expect(inspected.stderr).toMatch(/^error: KINDLING_FLAGS: there is no file [^\n]+\n$/);
    expect((await kindling(["status"], env)).code).toBe(0);
  });
});

describe("Redis out of reach", () => {
  it.each([
    [["status"]],
    [["inspect", user]],
    [["reprocess", user]],
    [["reprocess", "--all"]],
    [["set", user, "plan_tier=pro"]],
    [["failed"]],
    [["failed", "retry", "--all"]],
    [["server"]],
  ])("%j says so in one line and exits with 3", async (args) => {
    const env = { ...settings(), REDIS_URL: "redis://:a-password@127.0.0.1:1", KINDLING_LOG_LEVEL: "silent" };
    const { code, stdout, stderr } = await kindling(args, env);
    expect(stderr).toMatch(/^error: Redis does not answer[^\n]+\n$/);
    expect(stderr).not.toContain("a-password");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
  });
});

describe("help", () => {
  const commands = ["server", "worker", "start", "status", "inspect", "set", "reprocess", "failed", "emulator"];

  it.each([...commands.map((name) => [name]), ["failed", "retry"], ["failed", "discard"]])(
    "of %s has examples and exit codes",
    async (...names) => {
      const { code, stdout, stderr } = await kindling([...names.filter((name) => name !== undefined), "--help"], {});
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/Examples:\n {2}(kindling|kinde-emulator) /);
      expect(stdout).toMatch(/Exit codes:\n {2}0 /);
    },
  );

  it("is what a bare kindling shows, with every command", async () => {
    const { code, stdout } = await kindling([], {});
    expect(code).toBe(0);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, "m"));
  });
});

describe("the process", () => {
  it("exits with the code, and writes no stack", async () => {
    const unknown = spawnKindling(["statsu"], {}).ended;
    const { code, stdout, stderr } = await spawnKindling(["status"], { KINDE_DOMAIN: "http://example.com" }).ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("error: KINDE_DOMAIN must use https");
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(await unknown).toMatchObject({ code: 2, stdout: "" });
  });

  it("answers a script with JSON alone", async () => {
    const { code, json, stderr } = await spawnKindling(["status", "--json"], settings()).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toMatchObject({ queues: { refresh: { waiting: 0 } } });
  });
});
