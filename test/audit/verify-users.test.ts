import { expect, it } from "vitest";
import { verifyUsers } from "../../src/audit/verify-users.ts";
import type { Call } from "../../src/kinde/management-api.ts";
import type { Records } from "../../src/redis/records.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();

it("scans the records again when another Redis takes over, and checks each user once", async () => {
  const everyone = [1, 2, 3, 4].map(testUser);
  // The new process has another order: its page after the cursor would leave out the third user.
  const orders = [
    { runId: "a", userIds: [everyone[0], everyone[1], everyone[2], everyone[3]] },
    { runId: "b", userIds: [everyone[2], everyone[0], everyone[1], everyone[3]] },
  ];
  let scans = 0;
  const scanIds: Records["scanIds"] = async ({ cursor, runId: of }) => {
    const { runId, userIds } = orders[scans++ === 0 ? 0 : 1] as (typeof orders)[number];
    const beganAgain = cursor !== "0" && of !== runId;
    const from = beganAgain ? 0 : Number(cursor);
    const page = userIds.slice(from, from + 2).flatMap((userId) => userId ?? []);
    return { runId, beganAgain, userIds: page, cursor: from + 2 < userIds.length ? String(from + 2) : "0" };
  };
  const checked: string[] = [];
  const verified = await verifyUsers({
    store: { publicRedis: context.redis, keys: context.keys, records: { scanIds } },
    api: {
      get: async <T>({ answer }: Call<T>) => answer.parse({ users: [] }),
      send: () => Promise.reject(new Error("Unexpected write.")),
    },
    audit: async (userId) => {
      checked.push(userId);
      return { verdict: "same", looks: 1 };
    },
    scope: "all",
    onDrift: async () => {},
    onProgress: () => {},
    signal: new AbortController().signal,
  });
  expect(verified).toMatchObject({ complete: true, checked: 4 });
  expect(checked.sort()).toEqual(everyone);
});
