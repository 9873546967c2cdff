import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { patchGlobals, type SimulatedGlobals } from "./sim/globals.ts";
import { connectRealRedis, type RealRedis } from "./sim/real-redis.ts";
import { type LoadedScripts, prepareRealRedis } from "./sim/simulated-redis.ts";

/** What simulations of this process share, one after the other. */
export interface Simulation {
  redis: RealRedis;
  loaded: LoadedScripts;
  install: Install;
  close(): Promise<void>;
}

/** Begins a simulation: from here on, globals answer from this one. */
export type Install = (globals: SimulatedGlobals, onUnhandled: (error: unknown) => void) => void;

/** Replaces the globals of this process for good, and starts a Redis of its own, which ends with the process. */
export async function openSimulation(): Promise<Simulation> {
  const socket = join(mkdtempSync(join(tmpdir(), "kindling-campaign-")), "redis.sock");
  const embedded = await startEmbeddedRedis({ args: ["--unixsocket", socket] });
  const redis = await connectRealRedis(socket);
  const loaded = await prepareRealRedis(redis);
  let current: SimulatedGlobals | undefined;
  let onUnhandled: (error: unknown) => void = () => undefined;
  patchGlobals(() => {
    if (current === undefined) throw new Error("Nothing is being simulated.");
    return current;
  });
  process.on("unhandledRejection", (error) => onUnhandled(error));
  return {
    redis,
    loaded,
    install(globals, fail) {
      current = globals;
      onUnhandled = fail;
    },
    async close() {
      redis.close();
      await embedded.close();
      rmSync(dirname(socket), { recursive: true, force: true });
    },
  };
}
