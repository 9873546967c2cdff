import { afterEach, describe, expect, it } from "vitest";
import { openStore } from "../../src/store.ts";
import { envOf, kindling } from "../cli/command-line.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

afterEach(() => stack.close());

const start = async () => {
  stack = await startStack({ workers: false });
};
const other = "https://other.kinde.com";

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
