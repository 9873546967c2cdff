import { afterAll, beforeAll, describe } from "vitest";
import { type RunningExample, startExample } from "../../examples/start-example.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { describeNotes } from "./notes.ts";

// The one for Next.js shares a development server with the adapter's tests: test/adapters/next.test.ts.
describe.each([
  { name: "hono", auth: "/api/auth" },
  { name: "express", auth: "" },
])("$name", ({ name, auth }) => {
  let example: RunningExample;
  beforeAll(async () => {
    example = await startExample({ name, redisUrl: testRedisUrl() });
  }, 60_000);
  afterAll(() => example?.close(), 30_000);
  describeNotes({ name, auth, example: () => example });
});
