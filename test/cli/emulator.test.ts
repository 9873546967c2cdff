import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEmulator } from "kinde-emulator";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { dropKeys, uniquePrefix } from "../support/stack.ts";
import { kindling, type Spawned, spawnKindling } from "./command-line.ts";

let process: Spawned | undefined;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kindling-emulator-"));
});

afterAll(() => rm(folder, { recursive: true }));

afterEach(async () => {
  process?.child.kill("SIGKILL");
  await process?.ended;
  process = undefined;
});

const setting = async (name: string) => (await process?.says(new RegExp(`export ${name}=(\\S+)`)))?.[1] ?? "";

describe("kindling emulator", () => {
  it("prints working settings, seeds users, registers the webhook and exits with 0", async () => {
    const webhook = "http://127.0.0.1:1/webhooks/kinde";
    process = spawnKindling(["emulator", "--users", "12", "--seed", "7", "--port", "0", "--webhook", webhook], {});
    const domain = await setting("KINDE_DOMAIN");
    const answer = await fetch(`${domain}/oauth2/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "client_credentials",
        client_id: await setting("KINDE_MANAGEMENT_CLIENT_ID"),
        client_secret: await setting("KINDE_MANAGEMENT_CLIENT_SECRET"),
        audience: `${domain}/api`,
      }),
    });
    expect(answer.status).toBe(200);
    await process.says(/Webhooks: all events are delivered to http:\/\/127\.0\.0\.1:1\//);
    const control = /curl (\S+\/__emulator)\n/.exec(process.stdout())?.[1] ?? "";
    const state = (await (await fetch(control)).json()) as { users: number; webhooks: { endpoint: string }[] };
    expect(state.users).toBe(12);
    expect(state.webhooks.map(({ endpoint }) => endpoint)).toEqual([webhook]);
    process.child.kill("SIGINT");
    expect(await process.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("prints working settings for Kinde's SDKs, and takes those of an existing app", async () => {
    const secret = "a1".repeat(20);
    const callback = "http://localhost:3000/callback";
    const file = join(folder, "client-secret");
    await writeFile(file, `${secret}\n`);
    const args = ["--client-id", "my-app", "--client-secret-file", file, "--callback-url", callback];
    process = spawnKindling(["emulator", "--port", "0", ...args], {});
    const issuer = await setting("KINDE_ISSUER_URL");
    expect(await setting("KINDE_CLIENT_ID")).toBe("my-app");
    expect(await setting("KINDE_CLIENT_SECRET")).toBe(secret);
    const status = async (redirect_uri: string) => {
      const query = new URLSearchParams({ client_id: "my-app", redirect_uri, response_type: "code" });
      return (await fetch(`${issuer}/oauth2/auth?${query}`)).status;
    };
    expect(await status(callback)).toBe(200);
    expect(await status("http://localhost:3000/other")).toBe(400);
  });

  it.each([
    ["--client-secret-file", "/dev/null"],
    ["--client-secret-file", "/no/such/file"],
    ["--callback-url", "not a url"],
    ["--logout-url", "javascript:alert(1)"],
  ])("refuses %s %s on one line and exits with 2", async (option, value) => {
    const { code, stdout, stderr } = await kindling(["emulator", "--port", "0", option, value], {});
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^error: .+\n$/);
  });

  it("prints working settings when it listens on all addresses", async () => {
    process = spawnKindling(["emulator", "--host", "0.0.0.0", "--port", "0"], {});
    const domain = await setting("KINDE_DOMAIN");
    const configuration = await fetch(`${domain}/.well-known/openid-configuration`);
    expect(await configuration.json()).toMatchObject({ issuer: domain });
    const env = {
      KINDE_DOMAIN: domain,
      KINDE_MANAGEMENT_CLIENT_ID: await setting("KINDE_MANAGEMENT_CLIENT_ID"),
      KINDE_MANAGEMENT_CLIENT_SECRET: await setting("KINDE_MANAGEMENT_CLIENT_SECRET"),
      REDIS_URL: testRedisUrl(),
      KINDLING_PREFIX: uniquePrefix(),
    };
    const { ids } = (await (await fetch(`${domain}/__emulator/users?limit=1`)).json()) as { ids: string[] };
    const { json, stderr } = await kindling(["inspect", String(ids[0]), "--live", "--json"], env);
    expect(stderr).toBe("");
    expect(json).toMatchObject({ live: { exists: true } });
    await dropKeys(loadConfig(env));
  });

  it("generates the same users for the same seed", async () => {
    const idsOf = async (seed: string) => {
      process = spawnKindling(["emulator", "--users", "2", "--seed", seed, "--port", "0"], {});
      const domain = await setting("KINDE_DOMAIN");
      const { ids } = (await (await fetch(`${domain}/__emulator/users`)).json()) as { ids: string[] };
      process.child.kill("SIGTERM");
      expect((await process.ended).code).toBe(0);
      return ids;
    };
    const first = await idsOf("1");
    expect(await idsOf("1")).toEqual(first);
    expect(await idsOf("2")).not.toEqual(first);
  }, 60_000);

  it("reports a port in use on one line and exits with 2", async () => {
    const emulator = await createEmulator();
    try {
      const port = new URL(emulator.url).port;
      expect(await kindling(["emulator", "--port", port], {})).toMatchObject({
        code: 2,
        stdout: "",
        stderr: `error: 127.0.0.1:${port} is taken by another process: choose another port.\n`,
      });
    } finally {
      await emulator.close();
    }
  });

  it("logs calls to standard error with --verbose", async () => {
    process = spawnKindling(["emulator", "--port", "0", "--verbose"], {});
    await fetch(`${await setting("KINDE_DOMAIN")}/.well-known/jwks`);
    await process.says(/"type":"call","method":"GET"/);
    expect(process.stdout()).not.toContain('"type":"call"');
  });
});
