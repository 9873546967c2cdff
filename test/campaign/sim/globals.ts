import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import timersPromises from "node:timers/promises";
import tls from "node:tls";
import type { Random } from "./random.ts";
import type { Cancel, Timeline } from "./timeline.ts";

/** What the patched globals answer from, while a simulation runs. */
export interface SimulatedGlobals {
  timeline: Timeline;
  /** Replaces all random sources. */
  random: Random;
  /** Opens a simulated connection. */
  connect: () => net.Socket;
}

/** Host name whose connections are simulated. */
export const simulatedHost = "redis.simulated";

/** The real functions, for the simulation's own needs. */
export const real = {
  setImmediate: globalThis.setImmediate,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  createConnection: net.createConnection,
  performanceNow: performance.now.bind(performance),
};

/** Resolves once all microtasks have run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => real.setImmediate(resolve));
}

/**
 * Replaces clocks, timers, random sources and connections to {@link simulatedHost} in this process, for good. Run nothing
 * else in it. `current` answers what is simulated at the moment.
 */
export function patchGlobals(current: () => SimulatedGlobals): void {
  const timeline = () => current().timeline;
  patchClocks(timeline);
  patchTimers(timeline);
  patchRandom(() => current().random);
  // BullMQ stores stack traces. Their frames tell which real callback continued the code, which depends on the machine.
  Error.stackTraceLimit = 0;
  const simulated =
    <Connect>(connect: Connect) =>
    (...args: readonly unknown[]) => {
      const [options] = args as [{ host?: string }];
      return options.host === simulatedHost
        ? current().connect()
        : Reflect.apply(connect as typeof net.createConnection, undefined, args);
    };
  Object.assign(net, { createConnection: simulated(net.createConnection), connect: simulated(net.connect) });
  // Nobody speaks TLS: such a connection never becomes ready.
  Object.assign(tls, { connect: simulated(tls.connect) });
  syncBuiltinESMExports();
}

function patchClocks(timeline: () => Timeline): void {
  Date.now = () => Math.floor(timeline().now / 1000) + (timeline().actor?.aheadMs ?? 0);
  globalThis.Date = new Proxy(Date, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [Date.now()] : args, newTarget) as Date,
  });
  performance.now = () => timeline().now / 1000;
}

/** A timer as Node returns it. */
class Timer {
  cancel: Cancel = () => undefined;
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  hasRef() {
    return true;
  }
  refresh() {
    return this;
  }
  [Symbol.toPrimitive]() {
    return 0;
  }
}

function patchTimers(timeline: () => Timeline): void {
  const micros = (ms: unknown) => Math.max(1, Number(ms) || 1) * 1000;
  const clear = (timer: unknown) => {
    if (timer instanceof Timer) timer.cancel();
  };
  const setTimer = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = new Timer();
    // The step must not wait for what an asynchronous callback returns.
    timer.cancel = timeline().after(micros(ms), () => void callback(...args));
    return timer;
  };
  const setRepeating = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = new Timer();
    const again = () => {
      timer.cancel = timeline().after(micros(ms), () => {
        again();
        void callback(...args);
      });
    };
    again();
    return timer;
  };
  const setImmediately = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    const timer = new Timer();
    timer.cancel = timeline().immediately(() => callback(...args));
    return timer;
  };
  const sleep = (ms?: number, value?: unknown, options: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      const { signal } = options;
      const abort = () => {
        cancel();
        reject(new DOMException("The operation was aborted", "AbortError"));
      };
      const cancel = timeline().after(micros(ms), () => {
        signal?.removeEventListener("abort", abort);
        resolve(value);
      });
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
    });
  Object.assign(globalThis, {
    setTimeout: setTimer,
    setInterval: setRepeating,
    setImmediate: setImmediately,
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  });
  Object.assign(timersPromises, { setTimeout: sleep });
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    timeline().after(micros(ms), () => controller.abort(new DOMException("The deadline has passed.", "TimeoutError")));
    return controller.signal;
  };
}

function patchRandom(random: () => Random): void {
  const bytes = (size: number) => Buffer.from(Array.from({ length: size }, () => random().below(256)));
  const uuid = () => {
    const hex = bytes(16).toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  };
  Math.random = () => random().next();
  Object.assign(crypto, { randomBytes: bytes, randomUUID: uuid });
}
