import { expect, it } from "vitest";
import { KindeError } from "../../src/errors.ts";
import type { Call } from "../../src/kinde/management-api.ts";
import { createFanOut, type FanoutPlace } from "../../src/refresh/fan-out.ts";

const call = { priority: "webhook", signal: new AbortController().signal } as const;

/** Walks an organization of three pages. `refuses` decides which requests for the second page Kinde answers with 400. */
async function walk(refuses: (request: number) => boolean) {
  let requests = 0;
  const fanOut = createFanOut({
    api: {
      async get<T>({ path, answer }: Call<T>) {
        const cursor = new URL(path, "http://kinde").searchParams.get("next_token");
        if (cursor === "2") {
          requests += 1;
          if (refuses(requests)) throw new KindeError("kinde_rejected", "The cursor has expired.", { status: 400 });
        }
        const page = Number(cursor ?? 1);
        return answer.parse({
          organization_users: [{ id: `kp_${page}` }],
          next_token: page < 3 ? String(page + 1) : null,
        });
      },
      send: () => Promise.reject(new Error("Unexpected write.")),
    },
    records: { scan: async () => ({ cursor: "0", profiles: [], runId: "", beganAgain: false }) },
    definitions: { mayNeed: () => true },
    keep: new Set(["organizations"]),
    organizations: { forget: async () => {}, doubt: async () => {} },
    noteGrantChange: async () => {},
    activeUsers: async () => [],
  });
  const found: string[] = [];
  let at: FanoutPlace | undefined;
  do {
    const page = await fanOut("organization:org_1", at, call);
    found.push(...page.userIds);
    at = page.next;
  } while (at !== undefined);
  return found;
}

it("a listing whose cursor expired begins again, so that nobody after it is lost", async () => {
  expect(await walk((request) => request === 1)).toEqual(["kp_1", "kp_1", "kp_2", "kp_3"]);
});

it("a listing whose cursors are always refused ends", async () => {
  expect(await walk(() => true)).toEqual(["kp_1", "kp_1", "kp_1", "kp_1"]);
});
