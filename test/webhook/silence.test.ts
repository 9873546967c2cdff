import { beforeEach, describe, expect, it } from "vitest";
import { createPulse, feelPulse, judgeSilence, type Pulse } from "../../src/webhook/silence.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();
const hour = 3_600_000;
const day = 24 * hour;
const begin = 20_000 * day;

/** A pulse felt every ten minutes, with an event at each of these instants. */
function felt(events: readonly number[], until: number): Pulse {
  let pulse: Pulse | undefined;
  for (let now = begin; now <= until; now += hour / 6) {
    pulse = feelPulse(pulse, events.filter((at) => at <= now).length, now);
  }
  if (pulse === undefined) throw new Error("Never felt.");
  return pulse;
}

/** Events every ten minutes of each day from 8 to 20 o'clock. */
const officeHours = (days: number) =>
  Array.from({ length: days }, (_, index) =>
    Array.from({ length: 72 }, (_, step) => begin + index * day + 8 * hour + step * (hour / 6)),
  ).flat();

describe("silence", () => {
  it("is unusual after a day at first, when nothing is known to be usual", () => {
    expect(judgeSilence(felt([], begin + 20 * hour), begin + 20 * hour)).toMatchObject({
      unusual: false,
      ever: false,
    });
    expect(judgeSilence(felt([], begin + 25 * hour), begin + 25 * hour)).toMatchObject({ unusual: true, ever: false });
  });

  it("is not unusual at night where every night is silent, and is when it lasts over two", () => {
    const events = officeHours(5);
    const morning = begin + 5 * day + 7 * hour;
    expect(judgeSilence(felt(events, morning), morning)).toMatchObject({ unusual: false, ever: true });
    const evening = begin + 5 * day + 21 * hour;
    const silence = judgeSilence(felt(events, evening), evening);
    expect(silence.unusual).toBe(true);
    expect(silence.usualMs).toBeGreaterThan(23 * hour);
    expect(silence.usualMs).toBeLessThan(25 * hour);
  });

  it("shows within hours where events come all the time, yet never within one", () => {
    const events = Array.from({ length: 600 }, (_, index) => begin + index * (hour / 4));
    const last = events.at(-1) ?? 0;
    const pulse = felt(events, last + 2 * hour);
    expect(judgeSilence(pulse, last + 0.9 * hour).unusual).toBe(false);
    expect(judgeSilence(pulse, last + 1.5 * hour).unusual).toBe(true);
  });

  it("of an outage does not become usual, while a quiet weekend is learned", () => {
    const outage = begin + 3 * day;
    const events = Array.from({ length: 24 * 4 * 9 }, (_, index) => begin + index * (hour / 4)).filter(
      (at) => at < outage || at > outage + 4 * day,
    );
    const last = events.at(-1) ?? 0;
    expect(judgeSilence(felt(events, last), last).usualMs).toBeLessThan(4 * hour);
    const weeks = officeHours(28).filter((at) => Math.floor((at - begin) / day) % 7 < 5);
    const monday = begin + 28 * day + 7 * hour;
    expect(judgeSilence(felt(weeks, monday), monday).unusual).toBe(false);
  });

  it("is forgotten as usual after two weeks", () => {
    const quiet = officeHours(5);
    const busy = Array.from({ length: 24 * 6 * 20 }, (_, index) => begin + 5 * day + index * (hour / 6));
    const last = busy.at(-1) ?? 0;
    expect(judgeSilence(felt([...quiet, ...busy], last), last).usualMs).toBe(hour);
  });
});

describe("the fleet's pulse", () => {
  let clock: number;
  const pulse = () => createPulse({ ...context, now: () => clock });
  const event = () => context.redis.hincrby(context.keys.ledgerPart("counts"), "accepted:user.created", 1);

  beforeEach(async () => {
    clock = begin;
    const left = await context.redis.keys(`*${context.keys.prefix}*`);
    if (left.length > 0) await context.redis.del(left);
  });

  it("is not known before a worker has felt it", async () => {
    expect(await pulse().read()).toBeUndefined();
    await pulse().look();
    expect(await pulse().read()).toEqual({ forMs: 0, usualMs: day, unusual: false, ever: false });
  });

  it("says that silence is unusual once an hour, whichever process looks, and no more once an event is heard", async () => {
    await pulse().look();
    clock += 2 * day;
    expect(await pulse().look()).toMatchObject({ silence: { unusual: true, forMs: 2 * day }, say: true });
    expect(await pulse().look()).toMatchObject({ silence: { unusual: true }, say: false });
    await event();
    expect(await pulse().read()).toMatchObject({ unusual: false, forMs: 0, ever: true });
    expect(await pulse().look()).toMatchObject({ silence: { unusual: false }, say: false });
  });
});
