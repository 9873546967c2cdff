import { Redis } from "ioredis";
import { blankProfile, type Profile } from "kindling/contract";
import flags from "../kindling.flags.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createKeys } from "../src/redis/keys.ts";
import { createRecords } from "../src/redis/records.ts";
import type { Benchmark } from "./support/benchmark.ts";
import { info } from "./support/redis.ts";

const batch = 1_000;

export const memory: Benchmark = {
  title: "memory: what a user takes in Redis",
  async run({ quick, say }) {
    const users = quick ? 20_000 : 100_000;
    const kindling = await bytesPerUser(users, async (redis, batchOf) => {
      const records = createRecords({ redis, keys: createKeys("kindling"), tombstoneTtlMs: 60_000 });
      await Promise.all(batchOf.map((user) => records.commit(recordOf(user), user)));
    });
    say(`${users} records committed`);
    const keys = createKeys("kindling");
    const raw = await bytesPerUser(users, async (redis, batchOf) => {
      const pairs = batchOf.flatMap((user): [string, string][] => [
        [keys.flags(user.id), JSON.stringify(recordOf(user))],
        [keys.profile(user.id), JSON.stringify(user)],
      ]);
      await redis.mset(new Map(pairs));
    });
    return {
      tables: [
        {
          columns: ["", "bytes a user"],
          rows: [
            ["kindling, all it keeps", kindling],
            ["two raw JSON strings", raw],
          ],
        },
      ],
      comparisons: [{ what: "against the strings alone", value: kindling / raw, unit: "times", goal: { atMost: 1.1 } }],
      notes: [`At ${users.toLocaleString("en")} users, by the growth of used_memory; nothing outstanding.`],
    };
  },
};

async function bytesPerUser(users: number, fill: (redis: Redis, batchOf: Profile[]) => Promise<unknown>) {
  const embedded = await startEmbeddedRedis();
  const redis = new Redis(embedded.url);
  try {
    const before = await info(redis, "used_memory");
    for (let at = 0; at < users; at += batch) {
      await fill(
        redis,
        Array.from({ length: Math.min(batch, users - at) }, (_, index) => userOf(at + index)),
      );
    }
    return ((await info(redis, "used_memory")) - before) / users;
  } finally {
    redis.disconnect();
    await embedded.close();
  }
}

/** A user of a usual size: two organizations' worth of grants would only make the ratio better. */
function userOf(index: number): Profile {
  const id = `kp_${String(index).padStart(32, "0")}`;
  return {
    ...blankProfile(id),
    email: `person.${index}@example.com`,
    firstName: "Person",
    lastName: `Number${index}`,
    createdOn: "2026-01-01T00:00:00.000000+00:00",
    lastSignedIn: "2026-11-01T00:00:00.000000+00:00",
    totalSignIns: index % 100,
    failedSignIns: 0,
    properties: { onboarded: "true", plan_tier: "pro", compliance_region: "eu", company: "Example", seats: "12" },
    organizations: [
      {
        code: "org_0123456789a",
        roles: [{ id: "role_1", key: "editor" }],
        permissions: [{ id: "perm_1", key: "admin:access" }],
      },
    ],
    identities: [{ type: "email" }],
  };
}

function recordOf(user: Profile) {
  const now = Date.now();
  const { flags: values } = flags.derive(user);
  return { flags: values, status: "present" as const, fetchedAt: now, ticket: now * 1000, schema: flags.schema };
}
