import { EventEmitter } from "node:events";
import { parseCommands, reply } from "./resp.ts";
import type { Effects, SimulatedRedis } from "./simulated-redis.ts";
import type { Actor, Cancel, Timeline } from "./timeline.ts";

/** The simulated network between processes and Redis. */
export interface Network {
  /** Opens a connection for the actor whose code is running. */
  connect(): FakeSocket;
  /** Redis answers nothing until then. Microseconds of simulated time. */
  hangUntil(at: number): void;
  /** Breaks an actor's connections, or everybody's. Commands that are on their way may or may not arrive. */
  breakConnections(actor?: Actor): void;
  /** No connection can be opened until then. */
  refuseUntil(at: number, actor?: Actor): void;
  /** Holds back what Redis answers an actor until then: its commands are executed. */
  holdAnswersUntil(at: number, actor: Actor): void;
  /** Drops messages of commits until then. */
  dropMessagesUntil(at: number): void;
  /** Ends all faults. */
  heal(): void;
  /** What the actor has sent is lost, or executed without anybody who hears the answer. */
  abandon(actor: Actor): void;
  /** Makes the actor die at one of its next round trips. */
  killAt(actor: Actor, roundTrips: number, kill: () => void): void;
}

/** Options for {@link createNetwork}. */
export interface NetworkOptions {
  timeline: Timeline;
  redis: SimulatedRedis;
  /** Called with each executed round trip, before its answer arrives. */
  onExecuted: (actor: Actor, commands: readonly string[][], effects: Effects) => unknown;
}

/** What a client of Redis sees of its connection. */
export class FakeSocket extends EventEmitter {
  connecting = true;
  writable = true;
  destroyed = false;
  onWrite: (bytes: Buffer) => void = () => undefined;
  onDestroy: () => void = () => undefined;

  setNoDelay() {
    return this;
  }
  setKeepAlive() {
    return this;
  }
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts from now on, whatever is received meanwhile. 0 for none. */
  setTimeout(ms: number, onTimeout?: () => void) {
    clearTimeout(this.#timer);
    this.#timer = ms > 0 && onTimeout !== undefined ? setTimeout(onTimeout, ms) : undefined;
    return this;
  }
  resume() {
    return this;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  #corked: Buffer[] | undefined;
  cork() {
    this.#corked ??= [];
  }
  uncork() {
    const written = this.#corked ?? [];
    this.#corked = undefined;
    if (written.length > 0 && this.writable) this.onWrite(Buffer.concat(written));
  }
  write(data: string | Buffer): boolean {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    if (this.#corked !== undefined) this.#corked.push(bytes);
    else if (this.writable) this.onWrite(bytes);
    return true;
  }
  end() {
    this.destroy();
    return this;
  }
  destroy(error?: Error) {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.writable = false;
    clearTimeout(this.#timer);
    this.onDestroy();
    process.nextTick(() => {
      if (error !== undefined) this.emit("error", error);
      this.emit("close", error !== undefined);
    });
    return this;
  }
}

interface Connection {
  actor: Actor;
  socket: FakeSocket;
  /** Round trips that are on their way, in order. */
  sent: string[][][];
  busy: boolean;
  /** Keys that a blocking command waits for. */
  blockedOn: { keys: string[]; stop: Cancel } | undefined;
  channels: Set<string>;
  patterns: Set<string>;
}

/** Creates the network. */
export function createNetwork({ timeline, redis, onExecuted }: NetworkOptions): Network {
  const connections = new Set<Connection>();
  let hungUntil = 0;
  let silentUntil = 0;
  const refusedUntil = new Map<Actor | undefined, number>();
  const heldUntil = new Map<Actor, number>();
  const dooms = new Map<Actor, { left: number; kill: () => void }>();

  /** Microseconds a packet takes: usually little, now and then long. */
  const latency = ({ random }: Actor) => {
    if (random.chance(0.02)) return 1000 * random.below(800);
    return 50 + random.below(1500);
  };

  const arrive = (connection: Connection) => {
    if (connection.busy || connection.sent.length === 0) return;
    connection.busy = true;
    timeline.outside(latency(connection.actor), () => serve(connection));
  };

  const serve = async (connection: Connection): Promise<void> => {
    if (!connections.has(connection)) return;
    if (hungUntil > timeline.now) {
      timeline.outside(hungUntil - timeline.now, () => serve(connection));
      return;
    }
    const commands = connection.sent[0];
    if (commands === undefined) return;
    const [name = ""] = commands[0] ?? [];
    if (/^bzpopmin$/i.test(name)) return block(connection, commands[0] ?? []);
    if (diesNow(connection)) return;
    connection.sent.shift();
    const { replies, messages } = await executeAll(connection, commands);
    publish(messages);
    answer(connection, replies);
  };

  // A process that dies in the middle of a round trip: Redis has executed the commands, or never gets them.
  const diesNow = ({ actor }: Connection): boolean => {
    const doom = dooms.get(actor);
    if (doom === undefined) return false;
    doom.left -= 1;
    if (doom.left > 0) return false;
    dooms.delete(actor);
    doom.kill();
    return true;
  };

  const executeAll = async (connection: Connection, commands: readonly string[][]): Promise<Effects> => {
    const subscribing = commands.map((command) => subscribe(connection, command));
    if (subscribing.every((each) => each !== undefined)) return { replies: subscribing, messages: [], woken: [] };
    const effects = await redis.execute(commands);
    await onExecuted(connection.actor, commands, effects);
    wake(effects.woken);
    return effects;
  };

  const answer = (connection: Connection, replies: readonly Buffer[]) => {
    const held = Math.max(0, (heldUntil.get(connection.actor) ?? 0) - timeline.now);
    const { actor, socket } = connection;
    const arriveBack = () => {
      connection.busy = false;
      if (socket.destroyed) return;
      socket.emit("data", Buffer.concat(replies));
      arrive(connection);
    };
    if (held > 0 || !actor.alive || actor.stoppedUntil > timeline.now) {
      timeline.after(held, arriveBack, actor);
      return;
    }
    timeline.become(actor);
    arriveBack();
  };

  const block = async (connection: Connection, [, ...args]: readonly string[]) => {
    const keys = args.slice(0, -1);
    const popped = await redis.pop(keys);
    if (popped !== undefined) {
      connection.sent.shift();
      answer(connection, [popped]);
      return;
    }
    if (connection.blockedOn !== undefined) return;
    const timeout = Number(args.at(-1)) * 1_000_000;
    const stop = timeline.outside(timeout || 3_600_000_000, () => {
      connection.blockedOn = undefined;
      connection.sent.shift();
      answer(connection, [Buffer.from("*-1\r\n")]);
    });
    connection.blockedOn = { keys, stop };
  };

  const wake = (keys: readonly string[]) => {
    if (keys.length === 0) return;
    for (const connection of connections) {
      const { blockedOn } = connection;
      if (blockedOn === undefined || !blockedOn.keys.some((key) => keys.includes(key))) continue;
      blockedOn.stop();
      connection.blockedOn = undefined;
      timeline.outside(1, () => serve(connection));
    }
  };

  const subscribe = ({ channels, patterns }: Connection, [given = "", ...names]: readonly string[]) => {
    const name = given.toLowerCase();
    if (!/^p?(un)?subscribe$/.test(name)) return undefined;
    const set = name.startsWith("p") ? patterns : channels;
    const confirmed = names.map((each) => {
      if (name.includes("un")) set.delete(each);
      else set.add(each);
      return reply([name, each, channels.size + patterns.size]);
    });
    return Buffer.concat(confirmed);
  };

  const publish = (messages: readonly { channel: string; message: string }[]) => {
    if (messages.length === 0 || silentUntil > timeline.now) return;
    for (const connection of connections) {
      const { socket, channels, patterns, actor } = connection;
      for (const { channel, message } of messages) {
        const sent: Buffer[] = channels.has(channel) ? [reply(["message", channel, message])] : [];
        for (const pattern of patterns) {
          if (channel.startsWith(pattern.replace(/\*$/, ""))) sent.push(reply(["pmessage", pattern, channel, message]));
        }
        for (const bytes of sent)
          timeline.after(latency(actor), () => !socket.destroyed && socket.emit("data", bytes), actor);
      }
    }
  };

  const drop = (connection: Connection) => {
    connections.delete(connection);
    connection.blockedOn?.stop();
    // What was on its way can still be executed, in order, although nobody hears the answers.
    const { random } = connection.actor;
    const left = connection.sent.splice(0).slice(0, random.below(3));
    for (const commands of left) {
      if (/^bzpopmin$/i.test(commands[0]?.[0] ?? "")) continue;
      timeline.outside(latency(connection.actor), async () => {
        const effects = await redis.execute(commands);
        await onExecuted(connection.actor, commands, effects);
        wake(effects.woken);
      });
    }
  };

  const isRefused = (actor: Actor) =>
    Math.max(refusedUntil.get(actor) ?? 0, refusedUntil.get(undefined) ?? 0) > timeline.now;

  return {
    connect() {
      const { actor } = timeline;
      if (actor === undefined) throw new Error("Only a process can connect.");
      const socket = new FakeSocket();
      const connection: Connection = {
        actor,
        socket,
        sent: [],
        busy: false,
        blockedOn: undefined,
        channels: new Set(),
        patterns: new Set(),
      };
      let unread = Buffer.alloc(0);
      socket.onWrite = (bytes) => {
        const { commands, rest } = parseCommands(unread.length === 0 ? bytes : Buffer.concat([unread, bytes]));
        unread = Buffer.from(rest);
        if (commands.length === 0 || !connections.has(connection)) return;
        connection.sent.push(commands);
        arrive(connection);
      };
      socket.onDestroy = () => {
        if (connections.has(connection)) drop(connection);
      };
      timeline.after(latency(actor), () => {
        if (socket.destroyed) return;
        if (isRefused(actor)) {
          socket.destroy(
            Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" }),
          );
          return;
        }
        connections.add(connection);
        socket.connecting = false;
        socket.emit("connect");
      });
      return socket;
    },
    hangUntil(at) {
      hungUntil = Math.max(hungUntil, at);
    },
    breakConnections(actor) {
      for (const connection of [...connections]) {
        if (actor === undefined || connection.actor === actor)
          timeline.after(0, () => connection.socket.destroy(), connection.actor);
      }
    },
    refuseUntil(at, actor) {
      refusedUntil.set(actor, at);
    },
    holdAnswersUntil(at, actor) {
      heldUntil.set(actor, at);
    },
    dropMessagesUntil(at) {
      silentUntil = at;
    },
    heal() {
      hungUntil = 0;
      silentUntil = 0;
      refusedUntil.clear();
      heldUntil.clear();
      dooms.clear();
    },
    abandon(actor) {
      dooms.delete(actor);
      for (const connection of [...connections]) if (connection.actor === actor) drop(connection);
    },
    killAt(actor, roundTrips, kill) {
      dooms.set(actor, { left: roundTrips, kill });
    },
  };
}
