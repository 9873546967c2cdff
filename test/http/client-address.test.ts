import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { createClientAddress, sourceOf, type TrustedProxies } from "../../src/http/client-address.ts";

async function addressOf(trusted: TrustedProxies, peer: string | undefined, forwardedFor?: string): Promise<string> {
  const clientAddress = createClientAddress(trusted);
  const app = new Hono().get("/", (context) => context.text(clientAddress(context)));
  const headers: Record<string, string> = forwardedFor === undefined ? {} : { "x-forwarded-for": forwardedFor };
  const env = peer === undefined ? undefined : { incoming: { socket: { remoteAddress: peer, remoteFamily: "IPv4" } } };
  return (await app.request("/", { headers }, env)).text();
}

const proxies = { networks: ["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"] };

describe("the client's address", () => {
  it.each<[string, TrustedProxies, string | undefined, string | undefined, string]>([
    [
      "is the peer's without trusted proxies, whatever a header says",
      { networks: [] },
      "10.0.0.1",
      "1.2.3.4",
      "10.0.0.1",
    ],
    ["is the peer's if the peer is not trusted", proxies, "192.0.2.9", "1.2.3.4", "192.0.2.9"],
    ["is named by a trusted proxy", proxies, "10.0.0.1", "198.51.100.7", "198.51.100.7"],
    [
      "ignores what the client wrote before the proxy's entry",
      proxies,
      "10.0.0.1",
      "1.1.1.1, 198.51.100.7",
      "198.51.100.7",
    ],
    [
      "is found behind several trusted proxies",
      proxies,
      "127.0.0.1",
      "6.6.6.6, 198.51.100.7, 10.9.9.9",
      "198.51.100.7",
    ],
    ["is the last proxy's if all are trusted", proxies, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["is the proxy's that wrote an entry that is no address", proxies, "10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"],
    ["can carry a port", proxies, "10.0.0.1", "198.51.100.7:4711", "198.51.100.7"],
    ["can be IPv6, in brackets", proxies, "2001:db8:1::5", "[2001:DB8:2::1]:443", "2001:db8:2::1"],
    ["is IPv4 where IPv6 only wraps it", proxies, "::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"],
    ["is as many hops away as configured", { hops: 2 }, "10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7"],
    ["is the peer's with no hop", { hops: 0 }, "10.0.0.1", "198.51.100.7", "10.0.0.1"],
    ["is the peer's if the header has fewer entries than hops", { hops: 2 }, "192.0.2.9", "6.6.6.6", "192.0.2.9"],
    ["is unknown under another server", proxies, undefined, "6.6.6.6", "unknown"],
  ])("%s", async (_what, trusted, peer, forwardedFor, expected) => {
    expect(await addressOf(trusted, peer, forwardedFor)).toBe(expected);
  });

  it("reads no more than the end of a long header", async () => {
    const forged = Array.from({ length: 1_000 }, () => "10.0.0.2").join(",");
    expect(await addressOf(proxies, "10.0.0.1", `198.51.100.7,${forged}`)).toBe("10.0.0.2");
  });
});

describe("the source of a limit", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"],
    ["2001:db8::5", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::", "fe80:0:0:0::/64"],
    ["unknown", "unknown"],
  ])("of %s is %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});
