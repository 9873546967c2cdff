import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { longestPauseMs, mostUnlisted } from "../../src/sweep/find-unlisted.ts";
import { fetchAllowance, slotMs, sweepBound, walkBoundMs } from "../../src/sweep/pace.ts";
import type { WalkKind } from "../../src/sweep/walk-log.ts";
import { turns } from "../../src/sweep/walks.ts";
import { countWords } from "../../src/words.ts";
import type { TestProof } from "../guards/guards.ts";
import { defaultPace, defaults, plannedSweep, recentRoundMs } from "../support/defaults.ts";
import { pages, root } from "./markdown.ts";

const readme = pages.get("README.md") ?? "";
const played = "test/campaign/freshness.test.ts";
const stated = { test: "test/cli/status.test.ts", name: "states how soon a change in Kinde shows" };

const minutes = (ms: number) => {
  const whole = Math.ceil(ms / 60_000);
  return whole === 1 ? "a minute" : `${whole} minutes`;
};
const swept = (users: number) =>
  minutes(sweepBound(plannedSweep(users), defaultPace, { lateMs: 0, fetchMs: 0, lagMs: 0 })?.withinMs ?? Number.NaN);
const { observations, gapMs } = defaults.absence;
const many = 1_000_000;

const changes = `within ${swept(50_000)} up to ${countWords(50_000)} users`;
const deletions = `two sweeps and ${minutes((observations - 1) * gapMs)}`;
const afterScans = `up to ${minutes(longestPauseMs)} and a sweep later`;
const heldBack = `more than ${mostUnlisted(0)} users and ${(100 * mostUnlisted(many)) / many} %`;

/** A row of the table: what it says in numbers, computed from the defaults, and the tests that fail if it is false. */
interface Row {
  numbers: readonly string[];
  proofs: readonly TestProof[];
}

const rows: Readonly<Record<string, Row>> = {
  "an event with a webhook: sign-up, login, joining an organization, roles, permissions, deletion": {
    // The last refresh begins when copies can no longer lag: a settle time after the event, at most two.
    numbers: ["in less than 1 s", `within about ${minutes(2 * defaults.writeSettleMs)}`],
    proofs: [
      { test: played, name: "an event is readable in less than 1 s" },
      { test: played, name: "an event is readable within a minute if Kinde answers from a copy that lags" },
      { test: "test/redis/ledger.test.ts", name: "refreshes the first event of a burst at once and delays the rest" },
      {
        test: "test/refresh/confirm.test.ts",
        name: "is refreshed again, because Kinde can have answered from a copy that lags",
      },
    ],
  },
  "a property written through Kindling": {
    numbers: ["when the call returns"],
    proofs: [{ test: played, name: "a written property is readable when the call returns" }],
  },
  "a property edited in Kinde, a suspension, an account field, leaving an organization, an imported user, a lost webhook":
    {
      numbers: [changes, `within ${swept(many)} with a million`],
      proofs: [
        {
          test: played,
          name: "edits, imports, suspensions, departures and lost webhooks show within the stated time, less than a minute",
        },
        { test: "test/sweep/pace.test.ts", name: "compares %i users at %d of the budget at most, within %i ms" },
        { test: "test/end-to-end/sweep.test.ts", name: "finds a changed property and fetches only that user" },
        {
          test: "test/end-to-end/sweep.test.ts",
          name: "finds a suspension, a departure and a changed name that sent no event",
        },
        { test: "test/end-to-end/sweep.test.ts", name: "finds imported users" },
        stated,
      ],
    },
  "the same, for recently active users": {
    numbers: [`within ${minutes(recentRoundMs() + fetchAllowance(0))}`, `the latest ${defaults.recent.users}:`],
    proofs: [
      {
        test: "test/sweep/check-recent.test.ts",
        name: "find edits long before a sweep of a million users does, within their share and the stated time",
      },
      { test: "test/sweep/check-recent.test.ts", name: "keeps the latest ones, for a quarter of an hour" },
      stated,
    ],
  },
  "a deletion without an event": {
    numbers: [`after ${deletions}`, afterScans, `${heldBack} at once are held back`],
    proofs: [
      { test: played, name: "a deletion without an event shows after two sweeps and 10 minutes" },
      { test: "test/end-to-end/sweep.test.ts", name: "buries users that two consecutive sweeps did not list" },
      {
        test: "test/sweep/seen-users.test.ts",
        name: "of %i users, %i missing from two sweeps are deletions, and one more is held back",
      },
      { test: "test/cli/status.test.ts", name: "warns about a sweep that listed too few users" },
      {
        test: "test/sweep/find-unlisted.test.ts",
        name: "records scanned %s are due for a scan again after 20 times as long, at most 15 minutes",
      },
    ],
  },
  "roles, permissions or plans changed without an event": {
    numbers: ["within minutes to hours", "within days if organizations are very many"],
    proofs: [
      { test: played, name: "roles, permissions and plans show within the times that the status states" },
      { test: "test/docs/freshness-table.test.ts", name: "follow from the calls and the pace of walks" },
      {
        test: "test/end-to-end/walks.test.ts",
        name: "find nothing to fetch in a store that is true, with calls by role and by organization and permission",
      },
      { test: "test/end-to-end/walks.test.ts", name: "find plans that changed, and users who became customers" },
      stated,
    ],
  },
  "a phone number changed without an event": {
    numbers: ["at the user's next refresh"],
    proofs: [
      {
        test: played,
        name: "a phone number shows at the user's next refresh, whatever causes it, and in no sweep before",
      },
    ],
  },
};

/** What the table says, by its first column. */
const claims = Object.fromEntries(
  tableAfter(readme, "## How fresh").map(([change = "", claim = ""]) => [
    change.replace(/\[([^\]]+)\]\([^)]*\)/g, "$1"),
    claim,
  ]),
);

/** The rows of the first table after a heading, as cells. */
function tableAfter(page: string, heading: string): string[][] {
  const [, table = ""] = /\n\|[-:|]+\|\n((?:\|.*\n)+)/.exec(page.slice(page.indexOf(`\n${heading}\n`))) ?? [];
  const cells = (line: string) => line.split("|").slice(1, -1);
  return table
    .trim()
    .split("\n")
    .map((line) => cells(line).map((cell) => cell.trim()));
}

/** Titles of the tests in a file that run. */
function titlesIn(test: string): string[] {
  const source = readFileSync(join(root, test), "utf8");
  return [...source.matchAll(/(?<!\.(?:skip|todo))\(\s*"([^"\n]+)",/g)].map(([, title = ""]) => title);
}

describe("README's table of freshness", () => {
  it("has a test for each of its rows", () => {
    expect(Object.keys(claims)).toEqual(Object.keys(rows));
  });

  it.each(Object.entries(rows))("says what the defaults come to: %s", (change, { numbers }) => {
    const claim = claims[change] ?? "";
    for (const number of numbers) expect(claim).toContain(number);
    // No figure without a test.
    const rest = numbers.reduce((text, number) => text.replace(number, ""), claim.replace(/\]\([^)]*\)/g, "]"));
    expect(rest).not.toMatch(/\d|minute|hour|day/);
  });

  it.each(Object.entries(rows))("names tests that exist: %s", (_change, { proofs }) => {
    expect(proofs.length).toBeGreaterThan(0);
    const isMissing = ({ test, name }: TestProof) => !titlesIn(test).some((title) => title.includes(name));
    expect(proofs.filter(isMissing)).toEqual([]);
  });

  it("agrees with what you can rely on", () => {
    const [, guarantee = ""] = /\n5\. ([\s\S]*?)\n6\. /.exec(readme) ?? [];
    const words = guarantee.replace(/\s+/g, " ");
    const numbers = [changes, deletions, afterScans, heldBack];
    for (const number of numbers) expect(words).toContain(number);
    expect(numbers.reduce((text, number) => text.replace(number, ""), words)).not.toMatch(/\d/);
  });
});

describe("the times of sweeps in docs/sizing.md", () => {
  const columns = tableAfter(pages.get("docs/sizing.md") ?? "", "### Sweeps and the first fill");
  const seconds = (ms: number) => (ms < 120_000 ? `${Math.ceil(ms / 1_000)} s` : `${Math.ceil(ms / 60_000)} min`);
  const numberOf = (text = "") => Number(text.replaceAll(",", ""));

  it.each(columns)("follow from the pace: %s users", (users = "", calls, every, perMinute, within) => {
    const sweep = plannedSweep(numberOf(users), 400);
    const bound = sweepBound(sweep, defaultPace, { lateMs: 0, fetchMs: 0, lagMs: 0 });
    expect(numberOf(calls)).toBe(sweep.calls);
    const { everyMs = 0, withinMs = 0 } = bound ?? {};
    expect(within).toBe(seconds(withinMs));
    expect(every).toBe(everyMs < 120_000 ? seconds(everyMs) : `${Math.round(everyMs / 60_000)} min`);
    expect(numberOf(perMinute)).toBe(Math.round((60_000 * sweep.calls) / everyMs));
  });

  it("are those of docs/operations.md", () => {
    const [small = [], , large = []] = columns;
    const [operations = ""] = /^\| a property edited in Kinde.*$/m.exec(pages.get("docs/operations.md") ?? "") ?? [];
    expect(operations).toContain(`${small[4]} for ${small[0]} users, ${large[4]} for ${large[0]}`);
  });
});

describe("the times of walks in docs/sizing.md", () => {
  const columns = ["roles", "permissions", "otherPermissions"] as const;
  const underWay = turns.filter((kind) => columns.includes(kind as (typeof columns)[number]));
  const unit = { m: 60_000, h: 3_600_000, d: 86_400_000 };
  const cells = tableAfter(pages.get("docs/sizing.md") ?? "", "### Roles, permissions and plans").flatMap((row) =>
    columns.map((kind, index) => {
      const [, calls = "", time = "", of = "m"] = /^([\d,]+), ([\d.]+) ([mhd])$/.exec(row[index + 1] ?? "") ?? [];
      const decimals = time.includes(".") ? 1 : 0;
      return { kind, calls: Number(calls.replace(",", "")), time: Number(time), of: of as keyof typeof unit, decimals };
    }),
  );

  const walkDelays = { watchMs: defaults.watchIntervalMs, settleMs: defaults.writeSettleMs };

  /** How soon a change shows while all three walks are under way all the time. */
  const withinMs = (kind: WalkKind, calls: number) => {
    const share = underWay.filter((each) => each === kind).length / underWay.length;
    const finishedAt = (calls * slotMs({ ...defaultPace, calls: 1 })) / share;
    return walkBoundMs({ startedAt: 0, finishedAt }, { ...walkDelays, fetchMs: 0 });
  };

  it("follow from the calls and the pace of walks", () => {
    expect(cells).toHaveLength(9);
    for (const { kind, calls, time, of, decimals } of cells)
      expect((withinMs(kind, calls) / unit[of]).toFixed(decimals), `${calls} calls`).toBe(time.toFixed(decimals));
  });

  it("are minutes to hours, and up to days for permissions that no flag reads", () => {
    const unitsOf = (other: boolean) =>
      new Set(cells.filter(({ kind }) => (kind === "otherPermissions") === other).map(({ of }) => of));
    expect(unitsOf(false)).toEqual(new Set(["m", "h"]));
    expect(unitsOf(true)).toEqual(new Set(["m", "h", "d"]));
  });
});
