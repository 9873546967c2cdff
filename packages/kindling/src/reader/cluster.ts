import { isPermissionDenied, type ReaderRedis, type Subscriber, unref } from "./redis.ts";

/** The part of a cluster client that a reader uses. `Cluster` of ioredis 5 and 6 fits as it is. */
export interface ReaderCluster {
  get(key: string): Promise<string | null>;
  zadd?(key: string, greater: "GT", ...scoresAndMembers: (number | string)[]): Promise<unknown>;
  /** The connections to the cluster's nodes, as the client knows them at the moment. */
  nodes(role: "all" | "master"): ClusterNode[];
}

/** A connection to one node of a cluster. */
export interface ClusterNode {
  readonly options: { host?: string | undefined; port?: number | undefined };
  duplicate(options: {
    enableOfflineQueue: true;
    maxRetriesPerRequest: null;
    lazyConnect: false;
    autoResubscribe: false;
    readOnly: false;
    retryStrategy: (attempt: number) => number;
  }): Subscriber;
}

/** Returns whether a client leads to a cluster. */
export function isReaderCluster(redis: ReaderRedis | ReaderCluster): redis is ReaderCluster {
  return "nodes" in redis && typeof redis.nodes === "function";
}

/** Adapts a cluster client: keys are read one by one, as each can be on another node, and commits are heard on all nodes. */
export function adaptCluster(cluster: ReaderCluster): ReaderRedis {
  return {
    get: (key) => cluster.get(key),
    ...(cluster.zadd && { zadd: (key, ...args) => cluster.zadd?.(key, ...args) ?? Promise.resolve() }),
    duplicate: () => subscribeToCluster(cluster),
  };
}

/** Milliseconds between two looks at the cluster's nodes. */
const lookMs = 500;

type Listener = (...args: never[]) => void;
type PatternSubscriber = Subscriber & Required<Pick<Subscriber, "psubscribe" | "ping">>;

/** A command that waits until all masters are connected. */
interface Waiter {
  /** What it subscribes to. */
  name: string;
  resolve: () => void;
  reject: (error: Error) => void;
}

interface Member {
  connection: PatternSubscriber;
  ready: boolean;
}

/**
 * Subscribes on every node. A node delivers its own commits at once and in order, but those of others only after they
 * crossed the cluster: a `PING` proves what was heard only if every master answered it.
 *
 * It is `ready` when it is connected to all masters, and `close` tells that one of them was lost or added.
 */
export function subscribeToCluster(cluster: ReaderCluster): PatternSubscriber {
  const members = new Map<string, Member>();
  const listeners = new Map<string, Listener[]>();
  const channels = new Set<string>();
  const patterns = new Set<string>();
  const waiting = new Set<Waiter>();
  let complete = false;

  const emit = (event: string, ...args: unknown[]) => {
    for (const listener of listeners.get(event) ?? []) listener(...(args as never[]));
  };
  const nameOf = ({ options }: ClusterNode) => `${options.host}:${options.port}`;
  /** Returns the connections to the masters; `undefined` while one of them is missing. */
  const masters = () => {
    const nodes = cluster.nodes("master").map((node) => members.get(nameOf(node)));
    return nodes.length > 0 && nodes.every((member) => member?.ready) ? (nodes as Member[]) : undefined;
  };
  const check = () => {
    const now = masters() !== undefined;
    if (now === complete) return;
    complete = now;
    if (now) for (const { resolve } of waiting) resolve();
    if (now) waiting.clear();
    emit(now ? "ready" : "close");
  };
  const look = () => {
    const nodes = new Map(cluster.nodes("all").map((node) => [nameOf(node), node]));
    for (const [name, { connection }] of members) {
      if (nodes.has(name)) continue;
      members.delete(name);
      connection.disconnect();
    }
    for (const [name, node] of nodes) if (!members.has(name)) open(name, node);
    check();
  };
  const open = (name: string, node: ClusterNode) => {
    const connection = node.duplicate({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      lazyConnect: false,
      // Subscribed below: a connection that closes meanwhile would leave an unhandled rejection.
      autoResubscribe: false,
      readOnly: false,
      retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    }) as PatternSubscriber;
    const member: Member = { connection, ready: false };
    members.set(name, member);
    connection.on("error", (error) => emit("error", error));
    connection.on("message", (channel, message) => emit("message", channel, message));
    connection.on("pmessage", (pattern, channel, message) => emit("pmessage", pattern, channel, message));
    connection.on("close", () => {
      member.ready = false;
      check();
    });
    connection.on("ready", async () => {
      try {
        await Promise.all([
          ...[...channels].map((channel) => connection.subscribe(channel)),
          ...[...patterns].map((pattern) => connection.psubscribe(pattern)),
        ]);
      } catch (error) {
        // The connection closed: the next one tries again. What Redis denies, it denies each caller.
        if (!isPermissionDenied(error)) return;
      }
      member.ready = true;
      check();
    });
  };
  /** Runs a command on all nodes. Only those that are masters must succeed. */
  const onEach = async <T>(run: (connection: PatternSubscriber) => Promise<T>) => {
    look();
    const required = masters();
    if (required === undefined) throw new Error("Not every master of the cluster is connected.");
    for (const member of members.values()) {
      if (member.ready && !required.includes(member)) run(member.connection).catch(() => undefined);
    }
    return Promise.all(required.map(({ connection }) => run(connection)));
  };

  const whenComplete = (name: string) =>
    complete ? Promise.resolve() : new Promise<void>((resolve, reject) => waiting.add({ name, resolve, reject }));
  const giveUp = (why: string, isConcerned: (waiter: Waiter) => boolean = () => true) => {
    for (const waiter of [...waiting].filter(isConcerned)) {
      waiting.delete(waiter);
      waiter.reject(new Error(why));
    }
  };

  const timer = setInterval(look, lookMs);
  unref(timer);
  look();

  return {
    on(event: string, listener: Listener) {
      listeners.set(event, [...(listeners.get(event) ?? []), listener]);
    },
    async subscribe(channel) {
      channels.add(channel);
      await whenComplete(channel);
      return onEach((connection) => connection.subscribe(channel));
    },
    async unsubscribe(channel) {
      channels.delete(channel);
      giveUp("The channel is not wanted any more.", ({ name }) => name === channel);
      if (complete) await onEach((connection) => connection.unsubscribe(channel));
    },
    async psubscribe(pattern) {
      patterns.add(pattern);
      await whenComplete(pattern);
      return onEach((connection) => connection.psubscribe(pattern));
    },
    ping: () => onEach((connection) => connection.ping()),
    disconnect(reconnect = false) {
      for (const { connection } of members.values()) connection.disconnect(reconnect);
      if (reconnect) return;
      clearInterval(timer);
      members.clear();
      giveUp("The subscription is closed.");
    },
  };
}
