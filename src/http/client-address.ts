import { BlockList, isIP } from "node:net";
import { getConnInfo } from "@hono/node-server/conninfo";
import type { Context } from "hono";

/**
 * The proxies whose `X-Forwarded-For` is believed: those in these networks (addresses or CIDR ranges), or so many hops
 * in front of the server.
 */
export type TrustedProxies = { networks: readonly string[] } | { hops: number };

/** Returns the address of the client behind a request; `unknown` if the runtime does not tell. */
export type ClientAddress = (context: Context) => string;

/** Entries of `X-Forwarded-For` that are looked at, from the right: a real chain of proxies is much shorter. */
const longestChain = 32;

/**
 * Creates the lookup of client addresses. Each proxy appends the address it was called from to `X-Forwarded-For`, so
 * the header is read from the right, and only as far as the entries were written by trusted proxies.
 */
export function createClientAddress(trusted: TrustedProxies): ClientAddress {
  const isTrusted = "networks" in trusted ? inNetworks(trusted.networks) : undefined;
  return (context) => {
    const peer = peerOf(context);
    if ("hops" in trusted) return hopOf(forwardedFor(context), trusted.hops) ?? peer;
    if (trusted.networks.length === 0) return peer;
    let client = peer;
    for (const entry of forwardedFor(context).reverse()) {
      if (isTrusted?.(client) !== true || entry === undefined) break;
      client = entry;
    }
    return client;
  };
}

/** Returns the source that shares one limit: an IPv4 address, or the /64 network that one IPv6 customer controls. */
export function sourceOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - rest.length);
  const whole = [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest];
  return `${whole
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}

function peerOf(context: Context): string {
  try {
    return parseAddress(getConnInfo(context).remote.address ?? "") ?? "unknown";
  } catch {
    // The app runs under another server than @hono/node-server.
    return "unknown";
  }
}

function forwardedFor(context: Context): (string | undefined)[] {
  const header = context.req.header("x-forwarded-for");
  return header === undefined ? [] : header.split(",").slice(-longestChain).map(parseAddress);
}

// With fewer entries than hops the request came past the proxies: whatever the header says was written by its sender.
function hopOf(chain: readonly (string | undefined)[], hops: number): string | undefined {
  return hops === 0 ? undefined : chain[chain.length - hops];
}

/** Parses `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`. */
function parseAddress(text: string): string | undefined {
  const trimmed = text.trim().toLowerCase();
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)?.[1] ?? /^([\d.]+):\d+$/.exec(trimmed)?.[1] ?? trimmed;
  const address = bare.replace(/%.*$/, "").replace(/^::ffff:(?=\d+\.)/, "");
  return isIP(address) === 0 ? undefined : address;
}

function inNetworks(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    list.addSubnet(address, bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits), family);
  }
  return (address) => isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
