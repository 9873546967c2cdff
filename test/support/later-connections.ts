import type { Redis } from "ioredis";

/** Describes the clients that connected to this connection's database after it did. */
export async function laterConnections(redis: Redis): Promise<string[]> {
  const own = await redis.client("ID");
  const clients = String(await redis.client("LIST"))
    .trim()
    .split("\n");
  const isLater = (client: string) => Number(/^id=(\d+) /.exec(client)?.[1]) > own;
  return clients.filter((client) => client.includes(` db=${redis.options.db} `) && isLater(client));
}
