import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, inject, it } from "vitest";
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

describe("invalid input", () => {
  it.each([
    ["an unknown command", ["statsu"], "unknown command 'statsu' (Did you mean status?)"],
    ["an unknown option", ["status", "--jsn"], "unknown option '--jsn' (Did you mean --json?)"],
    ["an unknown subcommand", ["failed", "forget"], "too many arguments for 'failed'"],
    ["a missing argument", ["inspect"], "missing required argument 'userId'"],
    ["a malformed user id", ["inspect", "someone@example.com"], "A user id is kp_"],
    ["one malformed id among several", ["reprocess", user, "kp-1"], "'kp-1'"],
    ["a malformed organization", ["reprocess", "--org", "acme"], "An organization code is org_"],
    ["reprocess without users", ["reprocess"], "exactly one"],
    ["reprocess with two selections", ["reprocess", user, "--all"], "exactly one"],
    ["--restart without --all", ["reprocess", "--failed", "--restart"], "--restart requires --all"],
    ["failed retry without ids", ["failed", "retry"], "either ids or --all"],
    ["ids together with --all", ["failed", "discard", user, "--all"], "either ids or --all"],
    ["a malformed failed id", ["failed", "retry", "role"], "role:<id>"],
    ["an empty sample", ["verify", "--sample", "0"], "from 1 to"],
    ["a malformed webhook id", ["webhook", "delete", "a/b"], "letters, digits"],
    ["a malformed webhook URL", ["webhook", "register", "kindling"], "Expected a URL"],
    ["a port out of range", ["emulator", "--port", "70000"], "from 0 to 65535"],
    ["an emulator webhook that is not a URL", ["emulator", "--webhook", "localhost"], "must be a URL"],
  ])("reports %s on one line of standard error and exits with 2", async (_what, args, words) => {
    const { code, stdout, stderr } = await kindling(args, settings());
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("names each invalid setting on its own line", async () => {
    const env = { ...settings(), KINDE_DOMAIN: "", PORT: "http", KINDLING_PREFIX: "a b" };
    const { code, stdout, stderr } = await kindling(["verify"], env);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.map((line) => /^error: (\w+) /.exec(line)?.[1])).toEqual(["KINDE_DOMAIN", "PORT", "KINDLING_PREFIX"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("reports a missing flags file only in commands that derive flags", async () => {
    const env = { ...settings(), KINDLING_FLAGS: "no-such.flags.ts" };
    const inspected = await kindling(["inspect", user], env);
    expect(inspected.code).toBe(2);
    expect(inspected.stderr).toMatch(/^error: KINDLING_FLAGS: there is no file [^\n]+\n$/);
    expect((await kindling(["status"], env)).code).toBe(0);
  });
});

describe("unreachable Redis", () => {
  it.each([
    [["status"]],
    [["inspect", user]],
    [["reprocess", user]],
    [["reprocess", "--all"]],
    [["set", user, "plan_tier=pro"]],
    [["failed"]],
    [["failed", "retry", "--all"]],
    [["server"]],
  ])("%j reports it on one line and exits with 3", async (args) => {
    const env = { ...settings(), REDIS_URL: "redis://:a-password@127.0.0.1:1", KINDLING_LOG_LEVEL: "silent" };
    const { code, stdout, stderr } = await kindling(args, env);
    expect(stderr).toMatch(/^error: Redis at 127\.0\.0\.1:1 cannot be reached[^\n]+\n$/);
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

  it("is shown without arguments and lists every command", async () => {
    const { code, stdout } = await kindling([], {});
    expect(code).toBe(0);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, "m"));
  });
});

describe("the process", () => {
  it("exits with the exit code and prints no stack trace", async () => {
    const unknown = spawnKindling(["statsu"], {}).ended;
    const { code, stdout, stderr } = await spawnKindling(["status"], { KINDE_DOMAIN: "http://example.com" }).ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("error: KINDE_DOMAIN must use https");
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(await unknown).toMatchObject({ code: 2, stdout: "" });
  });

  it("exits with 1 and one line if its result cannot be written, and quietly if nobody reads it", async () => {
    const run = async (redirect: string) => {
      const command = `"$0" "$1" schema ${redirect}`;
      const child = spawn("bash", ["-o", "pipefail", "-c", command, process.execPath, inject("cli")]);
      let stderr = "";
      child.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      const [code] = await once(child, "close");
      return { code, stderr };
    };
    expect(await Promise.all([run("> /dev/full"), run("| true")])).toEqual([
      { code: 1, stderr: "error: Standard output cannot be written (ENOSPC): the result is lost.\n" },
      { code: 0, stderr: "" },
    ]);
  });

  it("writes only JSON to standard output with --json", async () => {
    const { code, json, stderr } = await spawnKindling(["status", "--json"], settings()).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toMatchObject({ queues: { refresh: { waiting: 0 } } });
  });
});
