import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blankProfile } from "kindling/contract";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findMentions } from "../../src/maintenance/find-mentions.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { dropKeys, type Stack, startStack, uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;
let folder: string;

beforeEach(async () => {
  stack = await startStack({ emulator: { users: 20 } });
  env = envOf(stack.config);
  folder = await mkdtemp(join(tmpdir(), "kindling-export-"));
});

afterEach(async () => {
  await stack.close();
  await rm(folder, { recursive: true });
});

async function fill() {
  const ids = [...stack.emulator.kinde.userIds()];
  await stack.store.queues.enqueueReprocess(ids);
  await until(async () => {
    expect((await stack.store.records.tickets(ids)).every((ticket) => ticket > 0)).toBe(true);
  }, 20_000);
  return ids;
}

describe("kindling export and import", () => {
  it("move every record and tombstone to another store, which any refresh replaces", async () => {
    stack.subscribe();
    const ids = await fill();
    const [gone = "", kept = ""] = ids;
    stack.emulator.kinde.deleteUser(gone);
    await until(async () => expect(await stack.record(gone)).toMatchObject({ status: "deleted" }));
    const file = join(folder, "records.ndjson");
    const exported = await kindling(["export", file, "--json"], env);
    expect(exported).toMatchObject({ code: 0, stderr: "", json: { v: 1, exported: 20, skipped: 0 } });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const prefix = uniquePrefix();
    const other = { ...env, KINDLING_PREFIX: prefix };
    try {
      expect(await kindling(["import", file, "--json"], other)).toMatchObject({ json: { imported: 20, kept: 0 } });
      const redis = stack.store.redis;
      const there = createKeys(prefix);
      const record = JSON.parse((await redis.get(there.flags(kept))) ?? "{}");
      expect(record).toEqual({ ...(await stack.record(kept)), ticket: 1 });
      expect(await redis.get(there.profile(kept))).toBe(await redis.get(stack.store.keys.profile(kept)));
      expect(JSON.parse((await redis.get(there.flags(gone))) ?? "{}")).toMatchObject({ status: "deleted", ticket: 1 });
      expect(await redis.pttl(there.flags(gone))).toBeGreaterThan(0);
      // What the store has is newer.
      await kindling(["set", kept, "plan_tier=enterprise"], other);
      const input = await readFile(file, "utf8");
      expect((await kindling(["import", "-"], other, { input })).stdout).toBe(
        "Imported 0 records; 20 users had one here already.\n",
      );
      expect(JSON.parse((await redis.get(there.flags(kept))) ?? "{}")).toMatchObject({ flags: { tier: "enterprise" } });
    } finally {
      await dropKeys({ ...stack.config, prefix });
    }
  });

  it("write to standard output, and do not overwrite a file", async () => {
    await fill();
    const { code, stdout, stderr } = await kindling(["export", "-"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "Exported 20 records.\n" });
    expect(stdout.trimEnd().split("\n")).toHaveLength(22);
    const file = join(folder, "taken");
    await writeFile(file, "mine");
    expect(await kindling(["export", file], env)).toMatchObject({
      code: 2,
      stderr: `error: ${file} cannot be written: it exists already.\n`,
    });
    expect(await readFile(file, "utf8")).toBe("mine");
  });

  it("refuse what is not an export, by line, and the records of another tenant", async () => {
    const header = JSON.stringify({ v: 1, kindling: "records", tenant: null });
    const attempt = async (input: string) => (await kindling(["import", "-"], env, { input })).stderr;
    const { stdout } = await kindling(["export", "-"], env);
    expect(await attempt(`${stdout}{}\n`)).toMatch(/it follows the end of the export\.\n$/);
    expect(await attempt(`${header}\n`)).toContain("The export was cut off after 0 records");
    expect(await attempt(stdout.replace(/"records":\d+/, '"records":7'))).toContain("The export was cut off");
    expect(await attempt("")).toBe("error: Line 1 cannot be imported: the file is empty.\n");
    expect(await attempt("{}\n")).toContain("Line 1 cannot be imported: it is not the first line");
    expect(await attempt(`${header}\n{"userId":"kp_1"}\n`)).toContain("Line 2 cannot be imported: it is not a record.");
    const flags = { flags: {}, status: "present", fetchedAt: 1, ticket: 1, schema: "" };
    const line = (profile: object, changes = {}) =>
      `${header}\n${JSON.stringify({ userId: "kp_1", flags: { ...flags, ...changes }, profile })}\n`;
    expect(await attempt(line(blankProfile("kp_1"), { fetchedAt: 1e18 }))).toContain(
      "Line 2 cannot be imported: it is not a record.",
    );
    expect(await attempt(line({ ...blankProfile("kp_1"), lastSignedIn: 5 }))).toContain(
      "Line 2 cannot be imported: its profile",
    );
    expect(await attempt(`${header}\n${"x".repeat(16 * 1024 * 1024 + 1)}`)).toBe(
      "error: Line 2 cannot be imported: it has more than 16 MiB.\n",
    );
    const foreign = JSON.stringify({ v: 1, kindling: "records", tenant: "https://other.kinde.com" });
    expect(await attempt(`${foreign}\n`)).toContain("The records belong to https://other.kinde.com");
    expect(await kindling(["import", join(folder, "none")], env)).toMatchObject({ code: 2, stderr: /ENOENT/ });
  });
});

describe("kindling erase", () => {
  it("removes all traces of a user, and none of others, and proves it by a search", async () => {
    const ids = await fill();
    const [id = "", other = ""] = ids;
    const { redis, keys, ledger, queues, audits } = stack.store;
    const failure = { code: "kinde_forbidden", message: "", failedAt: Date.now(), attempts: 1, final: true };
    await ledger.fail(id, failure);
    await ledger.fail(other, failure);
    await ledger.noteWrite(id, { ticket: 1, added: true, holder: "" }, { plan_tier: "pro" }, 60_000);
    await redis.zadd(keys.refreshRequests.later, Date.now(), id);
    // One whose id begins like the other's.
    await ledger.fail(`${id}0`, failure);
    await queues.refresh.pause();
    await queues.enqueueReprocess([id, other], "refresh");
    await audits.noteWebhook({ state: "ok", checkedAt: 1 });
    expect((await findMentions([redis], keys, id)).mentions.length).toBeGreaterThan(5);
    const { code, json, stderr } = await kindling(["erase", id, "--json"], env);
    expect({ code, json, stderr }).toMatchObject({
      code: 0,
      json: { v: 1, userId: id, erased: { records: 2, jobs: 1 }, found: [] },
      stderr: "If Kinde still has the user, the next event or sweep stores the user again.\n",
    });
    expect((json as { searched: number }).searched).toBeGreaterThan(40);
    expect((await redis.keys(`*${id}*`)).filter((key) => !key.includes(`${id}0`))).toEqual([]);
    expect(await ledger.entry(id)).toBeUndefined();
    expect(await ledger.entry(other)).toBeDefined();
    expect(await ledger.entry(`${id}0`)).toBeDefined();
    expect(await stack.record(other)).toMatchObject({ status: "present" });
    expect(await queues.refresh.getWaitingCount()).toBe(1);
    await queues.refresh.resume();
  });

  it("says that a running job still mentions the user, and exits with 1", async () => {
    const { id } = stack.emulator.kinde.createUser();
    const heal = stack.emulator.faults.set({ kind: "hang" });
    await kindling(["reprocess", id], env);
    await until(async () => expect(await stack.store.queues.refresh.getActiveCount()).toBe(1));
    const { code, stdout } = await kindling(["erase", id], env);
    expect(code).toBe(1);
    expect(stdout).toMatch(/these still mention the user: \{.*:refresh:\d+/);
    heal();
  });
});

describe("kindling completion", () => {
  it("completes commands, subcommands and options in bash", async () => {
    const { stdout } = await kindling(["completion", "bash"], {});
    const complete = (...words: string[]) => {
      const list = words.map((word) => `'${word}'`).join(" ");
      const script = `${stdout}\nCOMP_WORDS=(kindling ${list}); COMP_CWORD=${words.length}; _kindling; echo "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["-c", script]).toString().trim().split(" ");
    };
    expect(complete("st").sort()).toEqual(["start", "status"]);
    expect(complete("failed", "")).toEqual(expect.arrayContaining(["retry", "discard", "--json"]));
    expect(complete("failed", "retry", "--a")).toEqual(["--all"]);
    expect(complete("inspect", "kp_1", "--l")).toEqual(["--live"]);
    expect(complete("schema", "webhookL")).toEqual(["webhookList"]);
  });

  it("prints a script for zsh and fish, and refuses other shells", async () => {
    expect((await kindling(["completion", "zsh"], {})).stdout).toMatch(/^#compdef kindling\n/);
    expect((await kindling(["completion", "fish"], {})).stdout).toContain(
      'complete -c kindling -n "__fish_seen_subcommand_from failed; and __fish_seen_subcommand_from retry" -l all',
    );
    expect((await kindling(["completion", "tcsh"], {})).code).toBe(2);
  });
});
