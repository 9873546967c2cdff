import "vitest";
import type { TestProject } from "vitest/node";
import { startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";

declare module "vitest" {
  interface ProvidedContext {
    redisUrl: string;
  }
}

/** Starts one Redis for all test files, which use separate prefixes. Files that break Redis start their own. */
export default async function setup(project: TestProject) {
  if (process.env.REDIS_URL) {
    project.provide("redisUrl", process.env.REDIS_URL);
    return;
  }
  const redis = await startEmbeddedRedis({ say: (line) => console.log(line) });
  project.provide("redisUrl", redis.url);
  return () => redis.close();
}
