/** What `curl <url>` shows. */
export const helpPage = (
  url: string,
  actions: readonly string[],
): string => `This is Kinde, emulated. KINDE_DOMAIN=${url}

As in Kinde
  POST ${url}/oauth2/token
  GET  ${url}/.well-known/jwks
  *    ${url}/api/v1/...

Control
  GET    ${url}/__emulator                    all of the below in short
  GET    ${url}/__emulator/users?limit=20     ids
  GET    ${url}/__emulator/users/<id>         the whole truth about a user
  GET    ${url}/__emulator/users/<id>/tokens  what the user holds when signed in
  POST   ${url}/__emulator/kinde/<action>     body: JSON array of arguments
  GET    ${url}/__emulator/webhooks           POST {"url": ...}; DELETE /<id>
  GET    ${url}/__emulator/deliveries         POST /<event id>/redeliver
  GET    ${url}/__emulator/faults             POST a fault; DELETE all; DELETE /<id>
  POST   ${url}/__emulator/keys/rotate        {"keepOld": true} leaves the old key in the set
  GET    ${url}/__emulator/scopes             POST {"scopes": [...]}: what new access tokens open
  POST   ${url}/__emulator/sign               {"payload": ..., "header": ...}
  GET    ${url}/__emulator/stats              POST /reset

Actions
  ${actions.join(", ")}

Examples
  curl -X POST ${url}/__emulator/kinde/setProperties -d '["<id>", {"plan_tier": "pro"}]'
  curl -X POST ${url}/__emulator/faults -d '{"kind": "latency", "ms": [50, 200]}'
  curl -X POST ${url}/__emulator/faults -d '{"kind": "error", "status": 503, "path": "/api/v1/user", "count": 3}'
  curl -X POST ${url}/__emulator/faults -d '{"kind": "rate_limit", "calls": 20, "windowMs": 1000}'
`;
