import { afterEach, describe, expect, it } from "vitest";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;
const url = "https://kindling.example.com/webhooks/kinde";

async function begin(options: StackOptions = {}) {
  stack = await startStack({ workers: false, ...options });
  env = envOf(stack.config);
}

afterEach(() => stack.close());

const run = (...args: string[]) => kindling(["webhook", ...args, "--json"], env);

describe("kindling webhook register", () => {
  it("creates the webhook with every required event type, and changes nothing when run again", async () => {
    await begin();
    const created = await run("register", url);
    expect(created).toMatchObject({ code: 0, stderr: "", json: { action: "created", replaced: [] } });
    const [webhook] = stack.emulator.webhooks.list();
    expect(webhook).toMatchObject({ endpoint: url, name: "Kindling", enabled: true });
    expect(webhook?.eventTypes).toEqual(expect.arrayContaining(["user.deleted", "role.updated", "user.authenticated"]));
    expect(webhook?.eventTypes).not.toContain("subscriber.created");
    expect(await run("register", url)).toMatchObject({ code: 0, json: { action: "unchanged", added: [] } });
    expect(stack.emulator.webhooks.list()).toEqual([webhook]);
    expect(await stack.store.audits.webhook()).toMatchObject({ state: "ok", endpoint: url });
  });

  it("adds missing event types and keeps the others", async () => {
    await begin();
    stack.emulator.webhooks.register({ url, eventTypes: ["user.created", "subscriber.created"] });
    const { json } = await run("register", url);
    expect(json).toMatchObject({ action: "repaired", added: expect.arrayContaining(["user.deleted"]) });
    const [webhook, ...others] = stack.emulator.webhooks.list();
    expect(others).toEqual([]);
    expect(webhook?.eventTypes).toEqual(expect.arrayContaining(["user.created", "subscriber.created", "user.deleted"]));
  });

  it("replaces only the webhooks with this URL with --renew, and the new one is enabled", async () => {
    await begin();
    const other = stack.emulator.webhooks.register({ url: "https://other.example.com/" });
    const first = stack.emulator.webhooks.register({ url, eventTypes: ["user.created"], name: "Mine" });
    const second = stack.emulator.webhooks.register({ url });
    const { json } = await run("register", url, "--renew");
    expect(json).toMatchObject({ action: "renewed", replaced: [first.id, second.id] });
    const left = stack.emulator.webhooks.list();
    expect(left.map(({ id }) => id)).not.toContain(first.id);
    expect(left).toHaveLength(2);
    expect(left[0]).toEqual(other);
    expect(left[1]).toMatchObject({ endpoint: url, name: "Mine", enabled: true });
  });

  it("uses KINDLING_WEBHOOK_URL, and asks to set it if the URL would not be recognized", async () => {
    await begin();
    expect(await run("register")).toMatchObject({ code: 2, stderr: expect.stringContaining("KINDLING_WEBHOOK_URL") });
    const elsewhere = "https://example.com/hooks/kinde";
    expect((await run("register", elsewhere)).stderr).toBe(
      `Set KINDLING_WEBHOOK_URL=${elsewhere}, so that Kindling recognizes the webhook.\n`,
    );
    env = { ...env, KINDLING_WEBHOOK_URL: elsewhere };
    expect(await run("register")).toMatchObject({ code: 0, stderr: "", json: { action: "unchanged" } });
  });

  it("says that Kinde still delivers to a webhook at another host, and masks its credentials", async () => {
    await begin();
    const old = stack.emulator.webhooks.register({ url: "https://user:secret@old.example.com/webhooks/kinde" });
    const { stdout, stderr, json } = await run("register", url);
    expect(json).toMatchObject({ v: 1, action: "created", others: [{ id: old.id }] });
    expect(stderr).toBe(
      "Kinde still delivers to https://***@old.example.com/webhooks/kinde as well. " +
        `If nothing listens there: kindling webhook delete ${old.id}\n`,
    );
    const list = await run("list");
    expect(list.stdout).toContain("https://***@old.example.com/webhooks/kinde");
    expect(stdout + list.stdout).not.toContain("secret");
  });

  it("works without the scope read:event_types", async () => {
    const scopes = ["read:webhooks", "create:webhooks", "update:webhooks"];
    await begin({ emulator: { scopes } });
    expect(await run("register", url)).toMatchObject({ code: 0, json: { action: "created" } });
  });

  it.each([
    ["read:webhooks", ["create:webhooks"]],
    ["create:webhooks", ["read:webhooks"]],
  ])("names the missing scope %s", async (missing, scopes) => {
    await begin({ emulator: { scopes } });
    const { code, stdout, stderr } = await run("register", url);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`the scope ${missing}`);
  });
});

describe("kindling webhook list and delete", () => {
  it("lists all webhooks, marks Kindling's, and exits with 1 if that is missing or incomplete", async () => {
    await begin();
    expect(await run("list")).toMatchObject({ code: 1, json: { webhooks: [] } });
    const other = stack.emulator.webhooks.register({ url: "https://other.example.com/" });
    const ours = stack.emulator.webhooks.register({ url, eventTypes: ["user.created"] });
    expect(await run("list")).toMatchObject({
      code: 1,
      json: {
        webhooks: [
          { id: other.id, ours: false },
          { id: ours.id, endpoint: url, ours: true },
        ],
      },
    });
    await run("register", url);
    expect((await run("list")).code).toBe(0);
    expect((await kindling(["webhook", "list"], env)).stdout).toMatch(
      new RegExp(`${ours.id} +${url} +\\d+ event types +Kindling`),
    );
  });

  it("shows and stores the credentials of a URL nowhere", async () => {
    await begin();
    const secret = "https://hook:s3cret@kindling.example.com/webhooks/kinde";
    const outputs = [await run("register", secret), await run("list"), await kindling(["status"], env)];
    expect(stack.emulator.webhooks.list().map(({ endpoint }) => endpoint)).toEqual([secret]);
    for (const { stdout, stderr } of outputs) {
      expect(stdout).toContain("https://***@kindling.example.com/webhooks/kinde");
      expect(stdout + stderr).not.toContain("s3cret");
    }
    expect(JSON.stringify(await stack.store.audits.webhook())).not.toContain("s3cret");
  });

  it("deletes a webhook, and reports an unknown one", async () => {
    await begin();
    const { id } = stack.emulator.webhooks.register({ url });
    expect(await run("delete", id)).toMatchObject({ code: 0, json: { deleted: id } });
    expect(stack.emulator.webhooks.list()).toEqual([]);
    expect(await run("delete", id)).toMatchObject({ code: 1, stderr: `error: Kinde has no webhook ${id}.\n` });
    expect((await run("delete", "a/b")).code).toBe(2);
  });
});
