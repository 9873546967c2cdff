import { blankProfile } from "kindling/contract";
import { expect, it } from "vitest";
import { keepParts } from "../../src/kinde/keep-parts.ts";
import { createFanOut, type FanoutPlace } from "../../src/refresh/fan-out.ts";

const organization = "org_0123456789a";
const kept = new Set(["organizations", "permissions"] as const);
const users = Array.from({ length: 6 }, (_, index) => {
  const permissions = [{ id: "p1", key: "admin:access" }];
  return keepParts(
    { ...blankProfile(`kp_${index}`), organizations: [{ code: organization, roles: [], permissions }] },
    kept,
  );
});

it("scans the records again from the start when Redis was replaced between two pages", async () => {
  let runId = "first";
  // Each process hands out users in an order of its own, and a cursor is a position in it.
  const order = () => (runId === "first" ? users : [...users].reverse());
  const fanOut = createFanOut({
    api: {
      get: () => Promise.reject(new Error("not asked")),
      send: () => Promise.reject(new Error("not asked")),
    },
    records: {
      async scan({ cursor, runId: of }) {
        const beganAgain = cursor !== "0" && of !== runId;
        const from = beganAgain ? 0 : Number(cursor);
        const end = from + 2;
        const profiles = order().slice(from, end);
        return { cursor: end >= users.length ? "0" : String(end), profiles, runId, beganAgain };
      },
    },
    definitions: { mayNeed: () => true },
    keep: kept,
    organizations: { forget: async () => {}, doubt: async () => {} },
    noteGrantChange: async () => {},
    activeUsers: async () => [],
  });
  const call = { priority: "webhook", signal: new AbortController().signal } as const;
  const found = new Set<string>();
  let place: FanoutPlace | undefined;
  let pages = 0;
  do {
    const page = await fanOut("permission:p1", place, call);
    for (const id of page.userIds) found.add(id);
    place = page.next;
    pages += 1;
    if (pages === 2) runId = "second";
  } while (place !== undefined);
  expect([...found].sort()).toEqual(users.map(({ id }) => id));
});
