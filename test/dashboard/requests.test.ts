import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLive } from "../../src/dashboard/live.ts";
import { createSessions } from "../../src/dashboard/sessions.ts";
import { createTrail } from "../../src/redis/trail.ts";
import { hasDashboard, withOwnToken } from "../../src/service/operator-access.ts";
import { readHistory } from "../../src/status/read-history.ts";
import { sampleHistory } from "../../src/status/sample-history.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { envOf, kindling } from "../cli/command-line.ts";
import { until } from "../support/until.ts";
import { type Board, cookieOf, form, operatorToken, startBoard, viewerToken } from "./support.ts";

let board: Board;
let operator: string;
let viewer: string;
let userId: string;

beforeAll(async () => {
  board = await startBoard({ emulator: { users: 3 }, env: { KINDLING_RETRY_BASE: "50ms" } });
  [userId = ""] = board.emulator.kinde.userIds();
  operator = await board.signIn();
  viewer = await board.signIn(viewerToken);
});
afterAll(() => board.close());

const text = async (path: string, init?: Parameters<Board["send"]>[1]) => {
  const answer = await board.send(path, init);
  return { status: answer.status, body: await answer.text(), headers: answer.headers };
};

it("masks the credentials in the URLs of all webhooks", async () => {
  board.emulator.webhooks.register({ url: "https://user:of-the-url@hooks.example.com/webhooks/kinde" });
  const { status, body } = await text("/webhooks", { cookie: viewer });
  expect(status).toBe(200);
  expect(body).toContain("https://***@hooks.example.com");
  expect(body).not.toContain("of-the-url");
});

describe("signing in", () => {
  it("gives a cookie that scripts and other sites cannot use", async () => {
    const answer = await board.send("/sign-in", form({ token: operatorToken, to: "/failed" }));
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/failed"]);
    const cookie = answer.headers.get("set-cookie") ?? "";
    for (const attribute of ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"])
      expect(cookie).toContain(attribute);
    expect(cookie).not.toContain(operatorToken);
  });

  it.each(["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/sign-in"])(
    "leads to no other place than a page: %s",
    async (to) => {
      const answer = await board.send("/sign-in", form({ token: operatorToken, to }));
      expect(answer.headers.get("location")).toBe("/");
    },
  );

  it("refuses wrong tokens, and any attempt of a source that made too many", async () => {
    const other = await startBoard({ workers: false });
    try {
      const attempt = (token: string) => other.send("/sign-in", form({ token }));
      const wrong = await attempt(`${operatorToken.slice(0, -1)}0`);
      expect([wrong.status, wrong.headers.getSetCookie()]).toEqual([401, []]);
      for (let tries = 0; tries < 9; tries += 1) await attempt("wrong");
      const right = await attempt(operatorToken);
      expect([right.status, right.headers.getSetCookie()]).toEqual([429, []]);
      expect(Number(right.headers.get("retry-after"))).toBeGreaterThan(0);
      await other.store.refusedRequests.close();
      expect(await other.store.refusedRequests.read()).toMatchObject({
        "dashboard:unauthorized": 10,
        "dashboard:too_many_requests": 1,
      });
      expect(other.logged()).not.toContain("wrong");
    } finally {
      await other.close();
    }
  });

  it("accepts no session that is forged, changed, over, or signed with a token that was removed", async () => {
    const { store, config } = board;
    let now = Date.now();
    const options = {
      ...store,
      secret: new Uint8Array(32),
      tokens: config.dashboard.tokens,
      withKinde: false,
      lifetimeMs: 1_000,
      secure: false,
      now: () => now,
    };
    const { Hono } = await import("hono");
    const app = (sessions: ReturnType<typeof createSessions>) =>
      new Hono()
        .get("/begin", async (context) => {
          const [token] = config.dashboard.tokens;
          if (token) await sessions.begin(context, token, token);
          return context.text("");
        })
        .get("/read", async (context) => context.json((await sessions.read(context)) ?? null));
    const read = async (sessions: ReturnType<typeof createSessions>, cookie: string) =>
      (await app(sessions).request("/read", { headers: { cookie } })).json();
    const sessions = createSessions(options);
    const cookie = cookieOf(await app(sessions).request("/begin"));
    expect(await read(sessions, cookie)).toMatchObject({ name: "alice", role: "operate" });
    const [name, value = ""] = cookie.split("=");
    const [payload = "", signature] = decodeURIComponent(value).split(".");
    const admin = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(payload, "base64url").toString()), expiresAt: now * 2 }),
    ).toString("base64url");
    for (const forged of [`${admin}.${signature}`, payload, `${payload}.`, "x.y", ""]) {
      expect(await read(sessions, `${name}=${encodeURIComponent(forged)}`), forged).toBeNull();
    }
    expect(await read(createSessions({ ...options, secret: new Uint8Array(32).fill(1) }), cookie)).toBeNull();
    expect(await read(createSessions({ ...options, tokens: config.dashboard.tokens.slice(1) }), cookie)).toBeNull();
    const demoted = config.dashboard.tokens.map((token) => ({ ...token, role: "view" as const }));
    expect(await read(createSessions({ ...options, tokens: demoted }), cookie)).toMatchObject({ role: "view" });
    now += 1_000;
    expect(await read(sessions, cookie)).toBeNull();
  });

  it("ends a session for every copy of its cookie", async () => {
    const cookie = await board.signIn();
    expect((await board.send("/actions", { cookie })).status).toBe(200);
    expect((await board.send("/sign-out", { ...form(), cookie })).status).toBe(303);
    const after = await board.send("/actions", { cookie });
    expect([after.status, after.headers.get("location")]).toEqual([303, "/sign-in?to=%2Factions"]);
  });

  it("prints a token of its own only where nobody else can use it", () => {
    const { dashboard } = board.config;
    const none = { ...board.config, dashboard: { ...dashboard, tokens: [], application: undefined } };
    const own = withOwnToken(none);
    expect([hasDashboard(none), hasDashboard(own.config), own.token?.length]).toEqual([false, true, 32]);
    const open = { ...none, dashboard: { ...none.dashboard, host: "0.0.0.0" } };
    expect(() => withOwnToken(open)).toThrow(/KINDLING_DASHBOARD_TOKENS/);
    expect(withOwnToken(board.config)).toEqual({ config: board.config, token: undefined });
  });
});

describe("requests from elsewhere", () => {
  it.each([
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ])("cannot change anything: %j", async (headers: Record<string, string>) => {
    const before = await board.store.actions.latest(100);
    const answer = await board.send("/sweeps", { ...form(), cookie: operator, headers });
    expect(answer.status).toBe(403);
    expect(await board.store.actions.latest(100)).toEqual(before);
  });

  it("are refused under a name that DNS could lead here", async () => {
    const ask = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const { hostname, port } = new URL(board.url);
        request({ hostname, port, path: "/sign-in", headers: { host } }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        })
          .on("error", reject)
          .end();
      });
    expect(await ask("evil.example")).toBe(421);
    expect(await ask("127.0.0.1.evil.example")).toBe(421);
    expect(await ask("localhost:1234")).toBe(200);
    expect(await ask("[::1]:1234")).toBe(200);
  });

  it("get headers that forbid frames, foreign content and inline code, on every answer", async () => {
    for (const path of ["/", "/sign-in", "/nothing", "/queues/", "/history?span=x"]) {
      const { headers } = await board.send(path, { cookie: operator });
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy, path).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain("unsafe");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
    expect((await board.send("/", { cookie: operator })).headers.get("cache-control")).toBe("no-store");
  });

  it("cannot read anything without a session", async () => {
    for (const path of ["/", "/users", `/users/${userId}`, "/failed", "/sweeps", "/webhooks", "/actions", "/queues/"]) {
      expect((await board.send(path)).status, path).toBe(303);
    }
    for (const path of ["/live", "/history?span=day", "/queues/api/queues"]) {
      expect((await board.send(path, { headers: { accept: "*/*" } })).status, path).toBe(401);
    }
  });
});

describe("the facts about sweeps", () => {
  it("state how soon changes show, in the words of `kindling status`", async () => {
    const seeded = await startBoard({ workers: false });
    try {
      const { sweeps, walkLog, recentLog, redis, keys } = seeded.store;
      await redis.set(keys.ledgerPart("interval:sweep"), JSON.stringify({ v: 1, intervalMs: 900_000, share: 0.1 }));
      const begun = beginSweep({ number: 7, previous: undefined, now: Date.now() - 50_500, fill: false });
      await sweeps.finish({ ...begun, users: 50_000 }, begun.startedAt + 50_500);
      const counts = { calls: 240, compared: 50_000, different: 3, disputed: 0 };
      // Ends a minute ahead: the next one is not overdue while the test runs.
      const startedAt = Date.now() - 60_000;
      const walk = { startedAt, finishedAt: startedAt + 120_000, ...counts };
      for (const kind of ["roles", "otherPermissions"] as const) await walkLog.finish(kind, walk);
      await recentLog.add({ checked: 20, different: 1, calls: 21, longestMs: 212_000, users: 412 }, Date.now());
      const { stdout } = await kindling(["status"], envOf(seeded.config));
      const cookie = await seeded.signIn();
      const pages = await Promise.all(
        ["/", "/sweeps"].map(async (path) => (await seeded.send(path, { cookie })).text()),
      );
      for (const [change, shows] of [
        ["a change in Kinde", "shows within 55 s (up to 2 m more while Kinde's search lags)"],
        ["of 412 recently active users", "shows within 3 m 35 s"],
        ["a change of roles", "shows within 4 m 33 s"],
        ["a change of permissions that no flag reads", "shows within 4 m 33 s"],
      ] as const) {
        expect(stdout.replace(/ {2,}/g, "  ")).toContain(`${change}  ${shows}\n`);
        const label = change.charAt(0).toUpperCase() + change.slice(1);
        for (const page of pages) expect(page.replaceAll("&#39;", "'")).toContain(`<dt>${label}</dt><dd>${shows}</dd>`);
      }
    } finally {
      await seeded.close();
    }
  });
});

describe("a role that only looks", () => {
  it("sees every page without a button that changes something", async () => {
    for (const path of ["/", "/users", `/users/${userId}`, "/failed", "/sweeps", "/webhooks", "/actions", "/queues/"]) {
      const { status, body } = await text(path, { cookie: viewer });
      expect(status, path).toBe(200);
      const actions = [...body.matchAll(/<form[^>]* action="([^"]*)"/g)].map(([, action]) => action);
      expect(new Set(actions), path).toEqual(
        new Set(path === "/queues/" ? [] : path === "/users" ? ["/sign-out", "/users"] : ["/sign-out"]),
      );
    }
  });

  it("changes nothing, whatever it sends", async () => {
    const before = await board.record(userId);
    const attempts: [string, string, Record<string, string>?][] = [
      ["POST", `/users/${userId}/refresh`],
      ["POST", `/users/${userId}/reprocess`],
      ["POST", `/users/${userId}/discard`],
      ["POST", `/users/${userId}/set`, { key: "plan_tier", value: "pro" }],
      ["POST", `/users/${userId}/set/confirm`, { key: "plan_tier", wanted: '"pro"', before: "null" }],
      ["POST", "/failed/retry", { all: "yes" }],
      ["POST", "/failed/discard", { all: "yes" }],
      ["POST", "/sweeps"],
      ["POST", "/webhooks/register", { url: "https://evil.example/webhooks/kinde", sure: "on" }],
      ["PUT", "/queues/api/queues/refresh/pause"],
    ];
    for (const [method, path, fields = {}] of attempts) {
      const answer = await board.send(path, { ...form(fields), method, cookie: viewer });
      expect(answer.status, path).toBe(403);
    }
    expect(await board.store.queues.refresh.isPaused()).toBe(false);
    expect(await board.record(userId)).toEqual(before);
    expect((await board.store.actions.latest(100)).filter(({ operator: name }) => name === "bob")).toEqual([]);
  });
});

describe("malformed requests", () => {
  it.each([
    ["GET", "/users/nobody", undefined, 400],
    ["GET", "/users/kp_%0a", undefined, 400],
    ["GET", "/users/kp_<script>", undefined, 400],
    ["POST", "/users", { query: "" }, 400],
    ["POST", "/users", { query: "nobody" }, 400],
    ["POST", "/users", { query: "nobody@example.com" }, 404],
    ["POST", "/users/nobody/refresh", {}, 400],
    ["POST", "/users/USER/set", { key: "" }, 400],
    ["POST", "/users/USER/set/confirm", { key: "x", wanted: "{", before: "null" }, 400],
    ["POST", "/users/USER/set/confirm", { key: "x", wanted: "1", before: "null" }, 400],
    ["POST", "/users/kp_unknown/set", { key: "x", value: "y" }, 404],
    ["POST", "/webhooks/register", { url: "https://kindling.example/webhooks/kinde" }, 400],
    ["POST", "/webhooks/register", { url: "ftp://kindling.example", sure: "on" }, 400],
    ["POST", "/failed/retry", { member: "<script>" }, 400],
    ["GET", "/history?span=year", undefined, 400],
    ["GET", "/nothing", undefined, 404],
    ["GET", "/assets/000000000000/dashboard.js", undefined, 404],
    ["GET", "/assets/000000000000/..%2f..%2fpackage.json", undefined, 400],
    ["PUT", "/queues/api/queues/refresh/obliterate", {}, 403],
    ["POST", "/queues/api/queues/refresh/add", {}, 403],
    ["PATCH", "/queues/api/queues/refresh/1/update-data", {}, 403],
  ] as const)("%s %s %j", async (method, path, fields, status) => {
    const init = { method, ...(fields !== undefined && { body: new URLSearchParams(fields) }) };
    const answer = await board.send(path.replace("USER", userId), { ...init, cookie: operator });
    expect(answer.status).toBe(status);
    expect(await answer.text()).not.toContain("<script>");
  });

  it("refuses forms that are too large, whatever their headers say", async () => {
    const body = new URLSearchParams({ query: "x".repeat(70_000) }).toString();
    const type = { "content-type": "application/x-www-form-urlencoded" };
    expect((await board.send("/users", { method: "POST", body, cookie: operator, headers: type })).status).toBe(413);
    const stream = new Blob([body]).stream();
    const chunked = { method: "POST", body: stream, duplex: "half", cookie: operator, headers: type } as const;
    expect((await board.send("/users", chunked)).status).toBe(413);
  });
});

describe("values from elsewhere", () => {
  it("are shown, and never run or hidden", async () => {
    const { kinde } = board.emulator;
    const hostile = `"><script>alert(1)</script>\u202e\u0007evil`;
    kinde.setProperties(userId, { compliance_region: hostile, plan_tier: "<b>gold</b>" });
    await board.send(`/users/${userId}/refresh`, { ...form(), cookie: operator });
    const { body } = await text(`/users/${userId}?live=1`, { cookie: operator });
    expect(body).toContain("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\u0007evil");
    expect(body).toContain("&lt;b&gt;gold&lt;/b&gt;");
    for (const raw of ["<script>alert", "<b>gold", "\u202e", "\u0007"]) expect(body).not.toContain(raw);
  });
});

describe("actions", () => {
  it("are noted with operator and outcome, without values, in a bounded log and the user's trail", async () => {
    const { kinde } = board.emulator;
    await board.send(`/users/${userId}/set/confirm`, {
      ...form({ key: "plan_tier", wanted: '"enterprise"', before: '"pro"' }),
      cookie: operator,
    });
    expect(kinde.user(userId)?.properties).toMatchObject({ plan_tier: "enterprise" });
    const [latest] = await board.store.actions.latest(1);
    expect(latest).toMatchObject({ operator: "alice", action: "set plan_tier", subject: userId, outcome: "done" });
    expect(board.logged()).toContain('"action":"set plan_tier"');
    expect(board.logged()).not.toMatch(/enterprise|kp_\w+@|@example/);
    const trail = await board.store.trail.read(userId);
    expect(trail).toContainEqual(expect.objectContaining({ kind: "action", what: "set plan_tier", outcome: "alice" }));
    expect(trail).toContainEqual(expect.objectContaining({ kind: "refresh", what: "write", outcome: "committed" }));
  });

  it("are noted without the name of a property or a job that turns out not to exist", async () => {
    const key = "ada@example.com +49 151 2345678";
    const set = { ...form({ key, wanted: '"x"', before: "null" }), cookie: operator };
    expect((await board.send(`/users/${userId}/set/confirm`, set)).status).toBe(400);
    const retry = "/queues/api/queues/refresh/ada%40example.com/retry";
    expect((await board.send(retry, { method: "PUT", cookie: operator })).status).toBe(404);
    const noted = await board.store.actions.latest(2);
    expect(noted).toMatchObject([
      { action: "queue retry", subject: "refresh", outcome: "not_found" },
      { action: "set a property", subject: userId, outcome: "kinde_rejected" },
    ]);
    const left = board.logged() + JSON.stringify([noted, await board.store.trail.read(userId)]);
    expect(left).toContain("set a property");
    expect(left).not.toMatch(/ada(@|%40)|151 2345678/);
  });

  it("can be undone: the page that follows sets back what was there, line breaks included", async () => {
    const { kinde } = board.emulator;
    kinde.setProperties(userId, { compliance_region: "a\nb" });
    const review = await text(`/users/${userId}/set`, {
      ...form({ key: "compliance_region", value: "eu" }),
      cookie: operator,
    });
    const confirm = await text(`/users/${userId}/set/confirm`, { ...form(fieldsOf(review.body)), cookie: operator });
    expect(kinde.user(userId)?.properties).toMatchObject({ compliance_region: "eu" });
    const undo = await text(`/users/${userId}/set/confirm`, { ...form(fieldsOf(confirm.body)), cookie: operator });
    expect([undo.status, kinde.user(userId)?.properties.compliance_region]).toEqual([200, "a\nb"]);
  });

  it("of queues are noted, and bull-board shows its page without anything inline", async () => {
    const { queues } = board.store;
    const change = (path: string) => board.send(`/queues/api/queues/${path}`, { method: "PUT", cookie: operator });
    expect((await change("confirm/pause")).status).toBeLessThan(300);
    expect(await queues.confirm.isPaused()).toBe(true);
    await change("confirm/resume");
    expect(await queues.confirm.isPaused()).toBe(false);
    expect((await board.store.actions.latest(2)).map(({ action, subject }) => `${action} ${subject}`)).toEqual([
      "queue resume confirm",
      "queue pause confirm",
    ]);
    expect((await change("nosuch/pause")).status).toBe(404);
    expect(await board.store.actions.latest(1)).toMatchObject([{ subject: "nosuch", outcome: "not_found" }]);
    const { body } = await text("/queues/", { cookie: operator });
    expect(body).toContain('<div id="root">');
    expect(body).not.toMatch(/ style=|<style|https:\/\/fonts/);
  });
});

function fieldsOf(html: string): Record<string, string> {
  const inputs = [...html.matchAll(/<input type="hidden" name="(key|wanted|before)" value="([^"]*)"/g)];
  const plain = (value: string) => value.replaceAll("&quot;", '"').replaceAll("&amp;", "&");
  return Object.fromEntries(inputs.map(([, name = "", value = ""]) => [name, plain(value)]));
}

describe("the trail", () => {
  const trail = (length: number, now = Date.now) =>
    createTrail({ ...board.store, length, now, onError: (error) => expect(error).toBeUndefined() });

  it("has events and refreshes of a user, without personal data, and only of the last 14 days", async () => {
    board.subscribe();
    board.emulator.kinde.updateUser(userId, { firstName: "Grace" });
    await until(async () => {
      const entries = await board.store.trail.read(userId);
      expect(entries).toContainEqual(
        expect.objectContaining({ kind: "event", what: "user.updated", outcome: "accepted" }),
      );
      expect(entries).toContainEqual(expect.objectContaining({ kind: "refresh", what: "event", outcome: "committed" }));
    });
    const later = trail(100_000, () => Date.now() + 14 * 86_400_000 + 1_000);
    expect(await later.read(userId)).toEqual([]);
  });

  it("keeps a fixed number of entries, whatever happens", async () => {
    const small = trail(512 * 10);
    for (let round = 0; round < 3; round += 1) {
      for (let count = 0; count < 2_500; count += 1)
        small.note(userId, { kind: "event", what: "x".repeat(500), outcome: "" });
      await small.close();
    }
    const entries = await small.read(userId);
    // MAXLEN ~ removes whole nodes of a hundred entries.
    expect(entries.length).toBeLessThan(120);
    expect(entries[0]?.what).toHaveLength(100);
    const off = trail(0);
    off.note("kp_other", { kind: "event", what: "x", outcome: "" });
    expect(await off.read("kp_other")).toEqual([]);
  });
});

describe("the history", () => {
  it("gets one point a minute from all processes together, and shows increases, peaks and gaps", async () => {
    const { store, config } = board;
    const { history } = store;
    await store.redis.del(store.keys.history("day"), store.keys.history("fortnight"));
    await Promise.all([1, 2, 3].map(() => sampleHistory(store, config, Date.now())));
    await sampleHistory(store, config, Date.now());
    expect((await history.latest("day", 10)).length).toBeLessThanOrEqual(2);
    await store.redis.del(store.keys.history("day"));

    const start = Date.UTC(2030, 0, 1);
    const point = (minute: number, events: number, outstanding: number) =>
      history.add("day", { at: start + minute * 60_000, values: { events, outstanding } });
    for (let minute = 0; minute <= 10; minute += 1) await point(minute, minute * 6, minute === 7 ? 50 : 1);
    await point(10, 999, 999);
    await point(40, 1_000, 2);
    await point(41, 3, 2);
    const hour = await readHistory(history, "hour");
    expect(hour.series.events).toEqual([6, 6, 6, 6, 6, 6, 6, 6, 6, 6, null, null, null]);
    expect(hour.series.outstanding).toEqual([1, 1, 1, 1, 1, 1, 50, 1, 1, 1, null, 2, 2]);
    const day = await readHistory(history, "day");
    expect(day.series.outstanding).toEqual([50, 1, null, 2]);
    for (let minute = 50; minute < 1_700; minute += 1) await point(minute, 0, 0);
    expect(await store.redis.xlen(store.keys.history("day"))).toBeLessThan(1_440 + 100);
  });
});

describe("the stream", () => {
  it("is opened by no HEAD request, which nobody would end", async () => {
    for (let n = 0; n < 51; n += 1) {
      const answer = await board.send("/live", { method: "HEAD", cookie: viewer });
      expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    }
  });

  it("is bounded, renders once for all, and ends for operators who signed out", async () => {
    let renders = 0;
    let allowed = true;
    const live = createLive({
      render: async () => {
        renders += 1;
        return `<p>${renders}</p>\n<p>line</p>`;
      },
      intervalMs: 5,
      maxStreams: 2,
    });
    const streams = [live.open(async () => true), live.open(async () => allowed)];
    expect(live.open(async () => true)).toBeUndefined();
    const [first, second] = streams.map((stream) => stream?.getReader());
    const one = new TextDecoder().decode((await first?.read())?.value);
    expect(one).toBe("data: <p>1</p>\ndata: <p>line</p>\n\n");
    expect(new TextDecoder().decode((await second?.read())?.value)).toBe(one);
    allowed = false;
    await until(async () => expect((await second?.read())?.done).toBe(true));
    await first?.cancel();
    const before = renders;
    live.close();
    expect(live.open(async () => true)).toBeUndefined();
    expect(renders - before).toBeLessThan(2);
  });
});
