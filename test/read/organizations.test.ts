import { fileURLToPath } from "node:url";
import { createKindling, type Reader } from "kindling";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import definitions from "../end-to-end/organization.flags.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { clientId, userToken } from "../support/user-tokens.ts";

const service = "reading.0123456789abcdef0123456789";
const org = "org_00000000001";
const other = "org_00000000002";
let stack: Stack;
let id: string;
let url: string;
let reader: Reader<typeof definitions.defaults>;

beforeAll(async () => {
  const flags = fileURLToPath(new URL("../end-to-end/organization.flags.ts", import.meta.url));
  stack = await startStack({
    env: { KINDLING_FLAGS: flags, KINDLING_API_TOKENS: `reader:read:${service}`, KINDLING_CLIENT_IDS: clientId },
  });
  const { kinde } = stack.emulator;
  for (const code of [org, other]) kinde.createOrganization({ code });
  kinde.createPermission("admin:access");
  kinde.createProperty("seats", { context: "org" });
  kinde.setOrganizationProperties(org, { seats: "7" });
  id = kinde.createUser({ organizations: [{ code: org, permissions: ["admin:access"] }, other] }).id;
  url = new URL(stack.webhookUrl).origin;
  reader = createKindling({ definitions, url, token: service });
  await until(async () => expect(await reader.get(id, { wait: 9_000 })).toMatchObject({ status: "present" }));
});

afterAll(() => stack.close());

interface Answer {
  users?: Record<string, unknown>;
  eventStreams?: { endpoint: { requestUri: string } }[];
}

async function ask(path: string, { token = service, body }: { token?: string; body?: unknown } = {}) {
  const response = await fetch(url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, answer: (await response.json()) as Answer };
}

/** Opens a stream and collects the flags that it sends. */
async function follow(path: string, token?: string) {
  const leave = new AbortController();
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(url + path, { headers, signal: leave.signal });
  let text = "";
  const read = async () => {
    for await (const piece of response.body ?? []) text += Buffer.from(piece as Uint8Array).toString();
  };
  read().catch(() => undefined);
  const sent = () => [...text.matchAll(/^data: (.+)\n\n/gm)].map(([, data = ""]) => JSON.parse(data).flags.admin);
  return { status: response.status, sent, leave: () => leave.abort() };
}

describe("flags of the current organization over HTTP", () => {
  it("are read for the organization that a service names", async () => {
    const read = async (query: string) => (await ask(`/v1/users/${id}/flags${query}`)).answer;
    expect(await read(`?organization=${org}`)).toMatchObject({ flags: { admin: true, seats: 7 }, organization: org });
    expect(await read(`?organization=${other}`)).toMatchObject({ flags: { admin: false, seats: 1 } });
    expect(await read("")).toMatchObject({ flags: { admin: false, seats: 1 }, organization: null });
    const { answer } = await ask("/v1/flags", { body: { ids: [id], organization: org } });
    expect(answer.users?.[id]).toMatchObject({ flags: { admin: true, seats: 7 } });
    const context = { targetingKey: id, organization: org };
    expect((await ask("/ofrep/v1/evaluate/flags/admin", { body: { context } })).answer).toMatchObject({ value: true });
  });

  it("are read for the organization of a user's token, who cannot name another", async () => {
    const inOrg = await userToken(stack.emulator, id, { org_code: org });
    const inOther = await userToken(stack.emulator, id, { org_code: other });
    expect((await ask("/v1/flags", { token: inOrg })).answer).toMatchObject({
      flags: { admin: true },
      organization: org,
    });
    expect((await ask("/v1/flags", { token: inOther })).answer).toMatchObject({ flags: { admin: false } });
    const named = await ask(`/v1/flags?organization=${org}`, { token: inOther });
    expect(named).toMatchObject({ status: 400, answer: { error: { code: "request_malformed" } } });
    const context = { targetingKey: id, organization: org };
    const evaluated = await ask("/ofrep/v1/evaluate/flags/admin", { token: inOther, body: { context } });
    expect(evaluated.answer).toMatchObject({ value: false });
  });

  it.each(["nowhere", "*", "", "org_../x"])("are refused for the organization %j", async (organization) => {
    const query = new URLSearchParams({ organization });
    expect(await ask(`/v1/users/${id}/flags?${query}`)).toMatchObject({ status: 400 });
    expect(await ask("/v1/flags", { body: { ids: [id], organization } })).toMatchObject({ status: 400 });
    expect(await ask(`/v1/flags/stream?user=${id}&${query}`)).toMatchObject({ status: 400 });
  });

  it("are read by the client as over Redis", async () => {
    expect(await reader.get(id, { organization: org })).toMatchObject({
      flags: { admin: true, seats: 7 },
      organization: org,
      source: "record",
    });
    const claims = { sub: id, org_code: org };
    expect(await reader.get(id, { claims })).toMatchObject({ flags: { admin: true }, organization: org });
    expect(await reader.get(id, { claims, organization: other })).toMatchObject({ flags: { admin: false } });
    expect(await reader.get(id, { organization: "no code" })).toMatchObject({ flags: { admin: false, seats: 1 } });
    expect(await reader.getMany([id, id], { organization: org })).toMatchObject([
      { flags: { admin: true } },
      { flags: { admin: true } },
    ]);
    expect(reader.peek(id)).toBeUndefined();
  });

  it("are read by the client with a user's token, for the organization of that token only", async () => {
    const token = await userToken(stack.emulator, id, { org_code: org });
    const own = createKindling({ definitions, url, token });
    const here = { flags: { admin: true, seats: 7 }, organization: org, source: "record" };
    expect(await own.get(id)).toMatchObject(here);
    expect(await own.get(id, { organization: org })).toMatchObject(here);
    expect(await own.get(id, { claims: { sub: id, org_code: org } })).toMatchObject(here);
    const nowhere = { flags: { admin: false, seats: 1 }, organization: null, status: "present" };
    expect(await own.get(id, { organization: null })).toMatchObject(nowhere);
    expect(await own.get(id, { organization: other })).toMatchObject({ status: "unavailable", organization: other });
    expect(await reader.get(id)).toMatchObject(nowhere);
    const stream = await follow(`/v1/flags/stream?organization=${org}`, token);
    await until(() => expect(stream.sent()).toEqual([true]));
    stream.leave();
  });

  it("are never taken from an answer for another organization", async () => {
    const answer = {
      flags: { admin: true, tier: "pro" },
      status: "present",
      source: "record",
      fetchedAt: 1,
      age: 1,
      denied: [],
    };
    for (const organization of [undefined, null, other]) {
      const stubborn = createKindling({
        definitions,
        url,
        token: service,
        fetch: async () => Response.json({ ...answer, organization }),
      });
      expect(await stubborn.get(id, { organization: org })).toMatchObject({ flags: { admin: false, tier: "pro" } });
    }
  });

  it("are streamed for the organization of the token or its key, or the one that a service names", async () => {
    const token = await userToken(stack.emulator, id, { org_code: org });
    const { answer } = await ask("/ofrep/v1/evaluate/flags", { token, body: {} });
    const streams = await Promise.all([
      follow("/v1/flags/stream", token),
      follow(String(answer.eventStreams?.[0]?.endpoint.requestUri)),
      follow(`/v1/flags/stream?user=${id}&organization=${org}`, service),
      follow(`/v1/flags/stream?user=${id}&organization=${other}`, service),
      follow(`/v1/flags/stream?user=${id}`, service),
    ]);
    const sent = () => streams.map((stream) => stream.sent());
    await until(() => expect(sent()).toEqual([[true], [true], [true], [false], [false]]));
    stack.emulator.kinde.setPermissions(id, org, []);
    await reader.get(id, { maxAge: 0, wait: 9_000 });
    await until(() => expect(sent()).toEqual([[true, false], [true, false], [true, false], [false], [false]]));
    for (const { leave } of streams) leave();
    const named = await ask(`/v1/flags/stream?organization=${other}`, { token });
    expect(named).toMatchObject({ status: 400, answer: { error: { code: "request_malformed" } } });
  });
});
