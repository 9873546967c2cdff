import { align } from "../cli/output/align.ts";
import { bob } from "./cast.ts";
import type { OpenStage } from "./open-stage.ts";

/** What can be played with once the story is told. */
export function invitation({ kinde, keys, serverUrl, redisCli, apiToken }: OpenStage): string {
  return [
    "",
    "Kindling keeps running. Play with it:",
    align([
      ["webhook endpoint", `POST ${serverUrl}/webhooks/kinde`],
      ["ready?", `curl ${serverUrl}/readyz`],
      ["the emulated Kinde", `curl ${kinde.url}/`],
      ["Bob's flags", `${redisCli} GET '${keys.flags(bob.id)}'`],
      [
        "set Bob's tier",
        `curl ${serverUrl}/v1/users/${bob.id}/properties -H 'authorization: Bearer ${apiToken}' -d '{"properties": {"plan_tier": "free"}}'`,
      ],
      ["let Bob in again", `curl -X POST ${kinde.url}/__emulator/kinde/suspendUser -d '["${bob.id}", false]'`],
    ]),
    "",
    "Ctrl-C stops everything.",
  ].join("\n");
}
