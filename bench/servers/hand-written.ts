import { Worker } from "bullmq";
import { Redis } from "ioredis";
import definitions from "../../kindling.flags.ts";
import { serveParent, setting } from "./parent.ts";

/**
 * What one writes by hand: a job a user, the calls, one `MSET`. No order between refreshes, no limit on calls, no ledger.
 * With `BENCH_HTTP=undici`, calls go through a pool and commands of one turn of the event loop are sent together.
 */
const origin = setting("BENCH_DOMAIN");
const pooled = setting("BENCH_HTTP") === "undici";
const redis = new Redis(setting("BENCH_REDIS"), { enableAutoPipelining: pooled });
const get = pooled ? await overPool() : overFetch;
const token = await requestToken();

interface Named {
  id: string;
  key: string;
}

const worker = new Worker<{ userId: string }>(
  setting("BENCH_QUEUE"),
  async ({ data: { userId } }) => {
    const [user, { properties }] = await Promise.all([
      get(`/api/v1/user?id=${userId}&expand=organizations,identities,billing`),
      get(`/api/v1/users/${userId}/properties`),
    ]);
    const organizations = await Promise.all(
      user.organizations.map(async (code: string) => {
        const [{ roles }, { permissions }] = await Promise.all([
          get(`/api/v1/organizations/${code}/users/${userId}/roles`),
          get(`/api/v1/organizations/${code}/users/${userId}/permissions`),
        ]);
        return { code, roles: roles.map(short), permissions: permissions.map(short) };
      }),
    );
    const profile = profileOf(user, properties, organizations);
    const { flags } = definitions.derive(profile);
    const record = { flags, status: "present", fetchedAt: Date.now() };
    await redis.mset(
      `hand:flags:{${userId}}`,
      JSON.stringify(record),
      `hand:profile:{${userId}}`,
      JSON.stringify(profile),
    );
  },
  {
    connection: new Redis(setting("BENCH_REDIS"), { maxRetriesPerRequest: null }),
    concurrency: Number(setting("BENCH_CONCURRENCY")),
    removeOnComplete: { count: 0 },
  },
);
await worker.waitUntilReady();
serveParent(0, () => worker.close());

// biome-ignore lint/suspicious/noExplicitAny: a hand-written worker trusts the answers.
type Answer = any;

function profileOf(user: Answer, properties: (Named & { value: string | null })[], organizations: Answer[]) {
  return {
    id: user.id,
    providedId: user.provided_id,
    email: user.preferred_email,
    phone: user.phone,
    username: user.username,
    firstName: user.first_name,
    lastName: user.last_name,
    picture: user.picture,
    isSuspended: user.is_suspended,
    totalSignIns: user.total_sign_ins,
    failedSignIns: user.failed_sign_ins,
    lastSignedIn: user.last_signed_in,
    createdOn: user.created_on,
    properties: Object.fromEntries(properties.map(({ key, value }) => [key, value])),
    organizations,
    identities: user.identities,
    billing: { customerId: user.billing?.customer_id ?? null, agreements: [] },
  };
}

function short({ id, key }: Named): Named {
  return { id, key };
}

async function overFetch(path: string): Promise<Answer> {
  const response = await fetch(origin + path, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`Status ${response.status}.`);
  return response.json();
}

async function overPool(): Promise<(path: string) => Promise<Answer>> {
  const { Pool } = await import("undici");
  const pool = new Pool(origin, { connections: 100 });
  return async (path) => {
    const headers = { authorization: `Bearer ${token}` };
    const { statusCode, body } = await pool.request({ path, method: "GET", headers });
    if (statusCode !== 200) throw new Error(`Status ${statusCode}.`);
    return body.json();
  };
}

async function requestToken(): Promise<string> {
  const { clientId, clientSecret } = JSON.parse(setting("BENCH_CREDENTIALS"));
  const response = await fetch(`${origin}/oauth2/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: clientSecret,
      audience: `${origin}/api`,
    }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}
