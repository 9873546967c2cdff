/** Returns the page served at `/`. */
export const helpPage = (url: string, actions: readonly string[]): string => `Kinde emulator. KINDE_DOMAIN=${url}

Kinde
  GET  ${url}/oauth2/auth                     sign-in page
  POST ${url}/oauth2/token
  GET  ${url}/oauth2/v2/user_profile
  GET  ${url}/logout
  GET  ${url}/.well-known/jwks
  *    ${url}/api/v1/...

Control API
  GET    ${url}/__emulator                    summary of the state
  GET    ${url}/__emulator/users?limit=20     user ids
  GET    ${url}/__emulator/users/<id>         complete state of a user
  GET    ${url}/__emulator/users/<id>/tokens  access token and ID token of a user
  POST   ${url}/__emulator/kinde/<action>     run an action; body: JSON array of arguments
  GET    ${url}/__emulator/webhooks           POST {"url": ...}: register; DELETE /<id>: remove
  GET    ${url}/__emulator/deliveries         POST /<event id>/redeliver: deliver again
  POST   ${url}/__emulator/webhooks/<id>/enable  switch a disabled webhook on again
  POST   ${url}/__emulator/sign-in            {"as": "<user id>"}: sign in without a page; {"as": null}: show it again
  GET    ${url}/__emulator/applications       POST {"callbackUrls": [...]}: create an application
  GET    ${url}/__emulator/faults             POST: set a fault; DELETE: clear; DELETE /<id>: remove
  GET    ${url}/__emulator/keys               POST /rotate {"keepOld": true}: keep the old key in the set
  GET    ${url}/__emulator/scopes             POST {"scopes": [...]}: set the scopes of new tokens
  POST   ${url}/__emulator/sign               sign a JWT: {"payload": ..., "header": ...}
  GET    ${url}/__emulator/stats              POST /reset: reset the counters

Actions
  ${actions.join(", ")}

Examples
  curl ${url}/__emulator/kinde/setProperties --json '["<id>", {"plan_tier": "pro"}]'
  curl ${url}/__emulator/faults --json '{"kind": "latency", "ms": [50, 200]}'
  curl ${url}/__emulator/faults --json '{"kind": "error", "status": 503, "path": "/api/v1/user", "count": 3}'
  curl ${url}/__emulator/faults --json '{"kind": "rate_limit", "calls": 20, "windowMs": 1000}'
`;
