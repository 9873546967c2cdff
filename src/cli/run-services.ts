import { setTimeout as delay } from "node:timers/promises";
import { type Config, loadConfig } from "../config.ts";
import { createLog, errorFields, type Log } from "../log.ts";
import { joinFleet } from "../redis/fleet.ts";
import { hasDashboard, withOwnToken } from "../service/operator-access.ts";
import { runMetrics } from "../service/run-metrics.ts";
import { runServer } from "../service/run-server.ts";
import { runWorkers } from "../service/run-workers.ts";
import { openStore, type Store } from "../store.ts";
import type { Running } from "../world.ts";
import { note } from "./output.ts";
import type { Terminal } from "./terminal.ts";
import { readVersion } from "./version.ts";
import { loadSettings } from "./with-store.ts";

/** A long-running part of Kindling. */
export type Service = "server" | "worker" | "dashboard";

/**
 * Runs services until the terminal's stop signal, then waits up to `KINDLING_SHUTDOWN_TIMEOUT` for running work, even if
 * Redis is gone. Other processes take over what is left.
 *
 * @throws {ConfigurationError} {RedisError} if a service cannot start; the others are closed first
 * @throws {TenantError} once the store belongs to another tenant; the services are closed first
 */
export async function runServices(terminal: Terminal, services: readonly Service[]): Promise<void> {
  const { config, token } = ownToken(loadSettings(terminal, loadConfig), services);
  const log = createLog(config.logLevel);
  const stop = terminal.stopSignal();
  const store = await openStore(config, terminal.world, log);
  const running: Running[] = [];
  let definitions: string | undefined;
  try {
    // Workers first: they load the flags file, and its problems must show before a port is opened.
    if (services.includes("worker")) {
      terminal.limitHeapGrowth();
      const workers = await runWorkers(config, terminal.world, log, store);
      running.push(workers);
      definitions = workers.schema;
    }
    if (services.includes("server")) {
      running.push(await runServer(config, terminal.world, log, store));
      const metrics = await runMetrics(config, terminal.world, log, store);
      if (metrics !== undefined) running.push(metrics);
    }
    if (services.includes("dashboard") && hasDashboard(config)) {
      // Loaded here: other commands start faster without it.
      const { runDashboard } = await import("../service/run-dashboard.ts");
      const dashboard = await runDashboard(config, terminal.world, log, store);
      running.push(dashboard);
      if (token !== undefined) {
        note(terminal, `Dashboard: ${dashboard.url}`);
        note(terminal, `Operator token, until this stops: ${token}`);
      }
    }
  } catch (error) {
    await shutDown(config, log, running, store);
    throw error;
  }
  const member = joinFleet(
    store,
    { services, version: readVersion(), ...(definitions !== undefined && { definitions }) },
    terminal.world.now,
  );
  await Promise.race([aborted(stop), aborted(store.foreign)]);
  await member.leave();
  log.info({ timeoutMs: config.shutdownTimeoutMs }, "stopping");
  const finished = await shutDown(config, log, running, store);
  if (finished) log.info({}, "stopped");
  else log.warn({ timeoutMs: config.shutdownTimeoutMs }, "stopped with unfinished work: other processes take it over");
  store.foreign.throwIfAborted();
}

/** A dashboard that runs alone is of no use without a way to sign in, so it gets a token of its own. */
function ownToken(config: Config, services: readonly Service[]): { config: Config; token: string | undefined } {
  return services.length === 1 && services[0] === "dashboard" ? withOwnToken(config) : { config, token: undefined };
}

async function shutDown(config: Config, log: Log, running: readonly Running[], store: Store): Promise<boolean> {
  const bound = new AbortController();
  const closed = closeAll(running, store).catch((error: unknown) => log.warn(errorFields(error), "not closed cleanly"));
  const finished = await Promise.race([
    closed.then(() => true),
    delay(config.shutdownTimeoutMs, false, { signal: bound.signal }).catch(() => false),
  ]);
  bound.abort();
  store.redis.disconnect();
  store.publicRedis.disconnect();
  return finished;
}

async function closeAll(running: readonly Running[], store: Store): Promise<void> {
  const closed = await Promise.allSettled(running.map((service) => service.close()));
  await store.close();
  for (const result of closed) if (result.status === "rejected") throw result.reason;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
