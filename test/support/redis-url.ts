import { inject } from "vitest";

/** The tests' Redis, and in it a database that no file run at the same time uses: samples then see no keys of theirs. */
export function testRedisUrl(database = Number(process.env.VITEST_POOL_ID)): string {
  const url = new URL(inject("redisUrl"));
  url.pathname = `/${database}`;
  return url.href;
}
