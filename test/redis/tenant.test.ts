import { afterEach, describe, expect, it } from "vitest";
import { openStore } from "../../src/store.ts";
import { envOf, kindling } from "../cli/command-line.ts";
import { useProcesses } from "../support/processes.ts";
import { dropKeys, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const processes = useProcesses();
let stack: Stack;

afterEach(() => stack.close());

const start = async () => {
  stack = await startStack({ workers: false });
};
const other = "https://other.kinde.com";
/** Removes what the store holds, as `FLUSHALL` does. */
const wipe = () => dropKeys(stack.config);
/** Binds the store as a process of the other tenant would. */
const bindToOther = () => stack.store.redis.set(stack.store.keys.tenant, JSON.stringify({ v: 1, domain: other }));
const boundTo = async () => JSON.parse((await stack.store.redis.get(stack.store.keys.tenant)) ?? "{}").domain;

describe("a store that belongs to a tenant", () => {
  it("refuses every process of another tenant, names both, and says how to rebind", async () => {
    await start();
    const { config, world, log } = stack;
    const error: unknown = await openStore({ ...config, domain: other }, world, log).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "tenant_mismatch" });
    for (const part of [config.domain, other, "KINDLING_PREFIX", `redis-cli DEL ${config.prefix}:tenant`]) {
      expect(String(error)).toContain(part);
    }
  });

  it.each([["status"], ["worker"], ["server"], ["reprocess", "--all"]])(
    "stops kindling %s with exit code 2",
    async (...args) => {
      await start();
      const env = { ...envOf(stack.config), KINDE_DOMAIN: other };
      const { code, stderr } = await kindling(args, env);
      expect({ code, named: stderr.includes(other) }).toEqual({ code: 2, named: true });
    },
  );

  it("accepts the other tenant once the key is deleted, as the message says", async () => {
    await start();
    const { config, world, log, store } = stack;
    await store.redis.del(`${config.prefix}:tenant`);
    await (await openStore({ ...config, domain: other }, world, log)).close();
    await expect(openStore(config, world, log)).rejects.toMatchObject({ code: "tenant_mismatch" });
  });

  it("accepts its own tenant from any number of processes, and repairs an unreadable key", async () => {
    await start();
    const { config, world, log, store } = stack;
    await store.redis.set(store.keys.tenant, "no JSON");
    for (let process = 0; process < 2; process += 1) await (await openStore(config, world, log)).close();
    await expect(openStore({ ...config, domain: other }, world, log)).rejects.toMatchObject({
      code: "tenant_mismatch",
    });
  });
});

describe("a process whose store is wiped while it runs", () => {
  const run = async (command: "server" | "worker" | "start") => {
    await start();
    const env = { ...envOf(stack.config), KINDLING_WATCH_INTERVAL: "200ms" };
    return command === "worker" ? processes.worker(env) : processes.server(command, env);
  };

  it.each(["server", "worker"] as const)("binds it again to its tenant: kindling %s", async (command) => {
    await run(command);
    await wipe();
    await until(async () => expect(await boundTo()).toBe(stack.config.domain));
  });

  it("ends a command that takes longer", async () => {
    await start();
    stack.emulator.faults.set({ kind: "hang" });
    const command = kindling(["backfill"], { ...envOf(stack.config), KINDLING_WATCH_INTERVAL: "200ms" });
    await until(() => expect(stack.emulator.faults.list()[0]?.struck).toBeGreaterThan(0));
    await bindToOther();
    const { code, stderr } = await command;
    expect({ code, named: stderr.includes(other) }).toEqual({ code: 2, named: true });
  });

  it.each(["server", "worker", "start"] as const)(
    "stops with exit code 2 if another tenant was faster: kindling %s",
    async (command) => {
      const { child, ended } = await run(command);
      await wipe();
      await bindToOther();
      await until(() => expect(child.exitCode).toBe(2));
      const { stdout, stderr } = await ended;
      expect(stdout).toContain('"msg":"stopped"');
      expect(stdout).toContain('"code":"tenant_mismatch"');
      expect(stderr).toContain(`error: The keys under the prefix ${stack.config.prefix} belong to ${other}`);
      expect(await boundTo()).toBe(other);
    },
  );
});
