import { describe, expect, it, vi } from "vitest";
import { clientOf, hangOn, useEmulator } from "./support.ts";

const start = useEmulator();

async function ready(users = 3) {
  const emulator = await start({ users });
  const call = await clientOf(emulator);
  const [id = "", other = ""] = emulator.kinde.userIds();
  const status = async (path = `/user?id=${id}`) => (await call("GET", path)).status;
  const property = async (key: string) => {
    const { body } = await call("GET", `/users/${id}/properties`);
    return body.properties.find((one) => one.key === key)?.value;
  };
  return { emulator, call, id, other, status, property };
}

describe("call faults", () => {
  it("are limited to a path, user, method and count, and end when removed", async () => {
    const { emulator, id, other, status } = await ready();
    emulator.faults.set({ kind: "error", status: 503, user: id, path: "/api/v1/user", count: 2 });
    expect(await status(`/users/${id}/properties`)).toBe(200);
    expect(await status(`/user?id=${other}`)).toBe(200);
    expect([await status(), await status(), await status()]).toEqual([503, 503, 200]);
    expect(emulator.faults.list()).toEqual([]);

    const remove = emulator.faults.set({ kind: "error", status: 401, path: "/api/v1/users/{id}/properties" });
    expect([await status(`/users/${id}/properties`), await status()]).toEqual([401, 200]);
    remove();
    expect(await status(`/users/${id}/properties`)).toBe(200);

    emulator.faults.set({ kind: "error", status: 500, method: "POST" });
    expect(await status()).toBe(200);
    emulator.faults.clear();
    expect(emulator.faults.list()).toEqual([]);
  });

  it("strike with a probability, reproducibly for a seed", async () => {
    const { emulator, status } = await ready();
    const run = async () => {
      const remove = emulator.faults.set({ kind: "error", status: 500, probability: 0.5, seed: 7 });
      const statuses = [];
      for (let made = 0; made < 20; made += 1) statuses.push(await status());
      remove();
      return statuses;
    };
    const first = await run();
    expect(new Set(first)).toEqual(new Set([200, 500]));
    expect(await run()).toEqual(first);
  });

  it("end after forMs", async () => {
    const { emulator, status } = await ready();
    emulator.faults.set({ kind: "too_many_requests", forMs: 1000, resetSeconds: 2 });
    expect(await status()).toBe(429);
    await vi.waitFor(async () => expect(await status()).toBe(200), { timeout: 5000 });
  });

  it("rate_limit answers 429 with the seconds until the next window", async () => {
    const { emulator, call, status } = await ready();
    emulator.faults.set({ kind: "rate_limit", calls: 3, windowMs: 1000 });
    expect([await status(), await status(), await status()]).toEqual([200, 200, 200]);
    const refused = await call("GET", "/users");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("ratelimit-reset")).toBe("1");
    expect(emulator.stats.tooMany).toBe(1);
    await vi.waitFor(async () => expect(await status()).toBe(200), { timeout: 5000 });
  });

  it("concurrency_limit answers 429 beyond max calls in flight", async () => {
    const { emulator, status } = await ready();
    emulator.faults.set({ kind: "concurrency_limit", max: 2 });
    const release = await hangOn(emulator, 2);
    expect([await status(), await status()]).toEqual([429, 429]);
    release();
    await vi.waitFor(async () => expect(await status()).toBe(200));
  });

  it("latency delays the call before or after the data is read", async () => {
    const { emulator, id, property } = await ready();
    emulator.kinde.setProperties(id, { plan_tier: "free" });
    const read = async (when: "before" | "after") => {
      const remove = emulator.faults.set({ kind: "latency", ms: 500, when });
      const answer = property("plan_tier");
      await vi.waitFor(() => expect(emulator.faults.list()[0]?.struck).toBe(1));
      emulator.kinde.setProperties(id, { plan_tier: "pro" });
      const value = await answer;
      emulator.kinde.setProperties(id, { plan_tier: "free" });
      remove();
      return value;
    };
    expect(await read("before")).toBe("pro");
    expect(await read("after")).toBe("free");
  });

  it("hang, reset, garbage and truncated break the response", async () => {
    const { emulator, call, id } = await ready();
    const once = (kind: "hang" | "reset" | "garbage" | "truncated") => emulator.faults.set({ kind, count: 1 });
    const get = () => call("GET", `/user?id=${id}`);
    for (const kind of ["reset", "garbage", "truncated"] as const) {
      once(kind);
      await expect(get(), kind).rejects.toThrow();
      expect((await get()).status).toBe(200);
    }
    once("hang");
    const signal = AbortSignal.timeout(50);
    await expect(fetch(`${emulator.url}/api/v1/users`, { signal })).rejects.toThrow();
    await vi.waitFor(() => expect(emulator.stats.recent.at(-1)?.status).toBe("hung"));
    expect((await get()).status).toBe(200);
  });

  it("jwks_down makes the key set unavailable", async () => {
    const { emulator } = await ready();
    const keys = () => fetch(`${emulator.url}/.well-known/jwks`);
    const remove = emulator.faults.set({ kind: "jwks_down" });
    expect((await keys()).status).toBe(503);
    remove();
    emulator.faults.set({ kind: "jwks_down", how: "reset", count: 1 });
    await expect(keys()).rejects.toThrow();
    expect(await (await keys()).json()).toEqual(emulator.keys.jwks());
  });
});

describe("read faults", () => {
  it("search_lag hides recent changes, creations and deletions from the search", async () => {
    const { emulator, call, id, other } = await ready();
    const search = async () => (await call("GET", "/search/users?expand=properties")).body.results;
    const before = await search();
    emulator.kinde.setProperties(id, { plan_tier: "max" });
    emulator.kinde.deleteUser(other);
    emulator.kinde.createUser();
    emulator.faults.set({ kind: "search_lag", ms: 1500 });
    expect(await search()).toEqual(before);
    await vi.waitFor(async () => expect(await search()).not.toEqual(before), { timeout: 5000 });
    emulator.faults.clear();
    const after = await search();
    expect(after.map((one) => one.id)).toEqual([...emulator.kinde.userIds()]);
    expect(after.find((one) => one.id === id)?.properties.plan_tier).toBe("max");
  });

  it("user_lag hides recent changes from the calls that read one user", async () => {
    const { emulator, call, id, other } = await ready();
    const read = async (of: string) => {
      const [account, values] = await Promise.all([
        call("GET", `/user?id=${of}`),
        call("GET", `/users/${of}/properties`),
      ]);
      return [account.status, account.body, values.body];
    };
    const before = await read(id);
    emulator.kinde.updateUser(id, { firstName: "Grace" });
    emulator.kinde.setProperties(id, { plan_tier: "max" });
    emulator.kinde.deleteUser(other);
    const { id: created } = emulator.kinde.createUser();
    const heal = emulator.faults.set({ kind: "user_lag", ms: 60_000 });
    expect(await read(id)).toEqual(before);
    expect((await read(other))[0]).toBe(200);
    expect((await read(created))[0]).toBe(404);
    heal();
    expect(await read(id)).not.toEqual(before);
  });

  it("torn_read changes a user between the two calls that read one", async () => {
    const { emulator, call, id, property } = await ready();
    const set = (answer: "before" | "after") =>
      emulator.faults.set({
        kind: "torn_read",
        user: id,
        count: 1,
        answer,
        withinMs: 10_000,
        change: { isSuspended: true, properties: { plan_tier: answer } },
      });
    emulator.kinde.setProperties(id, { plan_tier: "free" });
    const suspended = async () => (await call("GET", `/user?id=${id}`)).body.is_suspended;

    set("before");
    expect([await suspended(), await property("plan_tier")]).toEqual([false, "free"]);
    expect([await suspended(), await property("plan_tier")]).toEqual([true, "before"]);

    emulator.kinde.suspendUser(id, false);
    set("after");
    expect([await suspended(), await property("plan_tier")]).toEqual([false, "after"]);

    emulator.kinde.suspendUser(id, false);
    set("before");
    expect([await property("plan_tier"), await suspended()]).toEqual(["after", false]);
    expect(emulator.kinde.user(id)).toMatchObject({ isSuspended: true, properties: { plan_tier: "before" } });
  });
});
