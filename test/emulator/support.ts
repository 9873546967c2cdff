import { createServer, type IncomingHttpHeaders } from "node:http";
import type { Emulator, EmulatorOptions } from "kinde-emulator";
import { afterEach, expect, vi } from "vitest";
import { startEmulator } from "../support/emulator.ts";

/** Runs the registered cleanup functions after each test. */
export function useCleanup(): (end: () => unknown) => void {
  let ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
    ends = [];
  });
  return (end) => void ends.push(end);
}

/** Starts emulators that are closed after the test. */
export function useEmulator(): (options?: EmulatorOptions) => Promise<Emulator> {
  const cleanup = useCleanup();
  return async (options) => {
    const emulator = await startEmulator(options);
    cleanup(emulator.close);
    return emulator;
  };
}

export interface Received {
  body: string;
  headers: IncomingHttpHeaders;
  payload: { type: string; event_id: string; timestamp: string; data: { user?: { id: string } } };
}

/** Starts webhook endpoints that record deliveries. `answer` returns the status of each attempt. */
export function useReceiver() {
  const cleanup = useCleanup();
  return async (answer: (attempt: number) => number | "hang" = () => 200) => {
    const received: Received[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8");
      request.on("data", (chunk: string) => {
        body += chunk;
      });
      request.on("end", () => {
        const payload = JSON.parse(Buffer.from(body.split(".")[1] ?? "", "base64url").toString());
        received.push({ body, headers: request.headers, payload });
        const status = answer(received.length);
        if (status !== "hang") response.writeHead(status).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanup(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    const address = server.address();
    const port = typeof address === "object" && address ? address.port : 0;
    return { url: `http://127.0.0.1:${port}/hook`, received, types: () => received.map(({ payload }) => payload.type) };
  };
}

/** An item of a user list. */
export interface Listed {
  id: string;
  email: string;
  username: string | null;
  properties: Record<string, string>;
}

/** The response fields the tests read. */
export interface Answer {
  id: string;
  is_suspended: boolean;
  results: Listed[];
  users: Listed[];
  organization_users: Listed[];
  properties: { key: string; value: string | null }[];
  next_token: string | null;
  billing: { customer_id: string };
  event: Record<string, unknown>;
  access_token: string;
}

async function answerOf(response: Response): Promise<Answer> {
  return JSON.parse(await response.text());
}

/** A minimal Management API client without retries. */
export async function clientOf(emulator: Emulator, scope = "") {
  const form = {
    grant_type: "client_credentials",
    client_id: emulator.clientId,
    client_secret: emulator.clientSecret,
    audience: emulator.audience,
    scope,
  };
  const response = await fetch(`${emulator.url}/oauth2/token`, { method: "POST", body: new URLSearchParams(form) });
  const { access_token } = await answerOf(response);
  return async (method: string, path: string, body?: unknown) => {
    const answer = await fetch(`${emulator.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${access_token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, headers: answer.headers, body: await answerOf(answer) };
  };
}

/** Keeps `count` calls in flight until the returned function is called. */
export async function hangOn(emulator: Emulator, count: number): Promise<() => void> {
  const client = new AbortController();
  emulator.faults.set({ kind: "hang", count });
  for (let made = 0; made < count; made += 1)
    void fetch(`${emulator.url}/api/v1/users`, { signal: client.signal }).catch(() => undefined);
  await vi.waitFor(() => expect(emulator.faults.list().some(({ fault }) => fault.kind === "hang")).toBe(false));
  return () => client.abort();
}
