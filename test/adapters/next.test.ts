import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFile, cp, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, it } from "vitest";
import { installClient } from "../../examples/install-client.ts";
import { type RunningExample, startExample } from "../../examples/start-example.ts";
import { describeNotes } from "../examples/notes.ts";
import { createBrowser } from "../support/browser.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { describeAdapter } from "./contract.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = `${here}.running-next-${randomBytes(4).toString("hex")}`;
let example: RunningExample;

afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

// One development server for all: the example, with the contract's routes beside its own.
describeAdapter(
  "Next",
  async (settings) => {
    await installClient(here);
    await cp(`${here}../../examples/next`, folder, { recursive: true, filter: (path) => !path.endsWith("/.next") });
    await cp(`${here}next-app`, folder, { recursive: true });
    const env = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`CONTRACT_${name}`, value]));
    example = await startExample({ name: "next", folder, redisUrl: testRedisUrl(), env });
    return { url: `${example.url}/contract`, close: example.close };
  },
  {
    redirects: 307,
    startTimeoutMs: 240_000,
    async edit() {
      await appendFile(`${folder}/app/contract/read-flags.ts`, 'console.log("evaluated again");\n');
      await expect.poll(() => example.output(), { timeout: 240_000 }).toContain("evaluated again");
    },
    further() {
      describeNotes({ name: "next", auth: "/api/auth", example: () => example });

      it("the example next type-checks against the client's sources", { timeout: 60_000 }, async () => {
        // What the sources need, and stricter than what an app needs.
        const compilerOptions = { allowImportingTsExtensions: true, exactOptionalPropertyTypes: true };
        const check = { extends: "./tsconfig.json", compilerOptions, exclude: ["app/contract"] };
        await writeFile(`${folder}/check.json`, JSON.stringify(check));
        const tsc = promisify(execFile)(`${here}../../node_modules/.bin/tsc`, ["-p", `${folder}/check.json`]);
        expect(await tsc.catch(({ stdout }: { stdout: string }) => ({ stdout }))).toMatchObject({ stdout: "" });
      });

      it("a page that must be static does not take its reader for anonymous", { timeout: 60_000 }, async () => {
        const { status } = await fetch(`${example.url}/contract/static`);
        expect(status).toBe(500);
        expect(example.output()).toContain('with `dynamic = "error"` couldn\'t be rendered statically');
      });

      it("@kinde-oss/kinde-auth-nextjs keeps its access token in a refresh, as at Kinde", {
        timeout: 60_000,
      }, async () => {
        const browser = createBrowser();
        example.kindling.emulator.signInAs("kp_ada");
        await browser.open(`${example.url}/api/auth/login`);
        const refreshed = await browser.open(`${example.url}/contract/refresh`);
        expect(JSON.parse(refreshed.body)).toEqual({ same: true });
        example.kindling.emulator.signInAs(null);
      });
    },
  },
);
