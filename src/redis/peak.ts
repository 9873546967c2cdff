import type { RedisClient } from "./client.ts";

/** The highest value that any process noted in the last ten to fifteen minutes. */
export interface Peak {
  /** Notes a value. Costs no round trip: it is written now and then. */
  note(value: number): void;
  /** Returns the peak, 0 if nothing was noted. */
  read(): Promise<number>;
  /** Writes what is not written yet. */
  close(): Promise<void>;
}

/** Options for {@link createPeak}. */
export interface PeakOptions {
  redis: RedisClient;
  key: string;
  now: () => number;
  onError: (error: unknown) => void;
}

const periodMs = 300_000;
const periodsKept = 3;
const writeMs = 2_000;

/** Opens a peak, which is kept by periods of five minutes. */
export function createPeak({ redis, key, now, onError }: PeakOptions): Peak {
  let unwritten: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  const period = () => Math.floor(now() / periodMs);
  const isRecent = (member: string) => Math.abs(period() - Number(member)) < periodsKept;

  const write = async () => {
    clearTimeout(timer);
    timer = undefined;
    if (unwritten === undefined) return;
    const value = unwritten;
    unwritten = undefined;
    try {
      await redis.zadd(key, "GT", value, String(period()));
      const old = (await redis.zrange(key, 0, -1)).filter((member) => !isRecent(member));
      if (old.length > 0) await redis.zrem(key, ...old);
      await redis.pexpire(key, periodsKept * periodMs);
    } catch (error) {
      onError(error);
    }
  };
  return {
    note(value) {
      unwritten = Math.max(unwritten ?? 0, value);
      timer ??= setTimeout(write, writeMs).unref();
    },
    async read() {
      const members = await redis.zrange(key, 0, -1, "WITHSCORES");
      const values = members.flatMap((member, index) =>
        index % 2 === 0 && isRecent(member) ? Number(members[index + 1]) : [],
      );
      return Math.max(0, ...values);
    },
    async close() {
      await write();
      clearTimeout(timer);
    },
  };
}
