import { inject } from "vitest";

/** Returns the URL of the test Redis, with a database that no concurrent file uses, so that samples see no foreign keys. */
export function testRedisUrl(database = Number(process.env.VITEST_POOL_ID)): string {
  const url = new URL(inject("redisUrl"));
  url.pathname = `/${database}`;
  return url.href;
}
