import { Hono } from "hono";
import { z } from "zod";
import { manySchema, maxUsers, maxWaitMs, minUserMaxAgeMs } from "../read/flags-routes.ts";
import { evaluationSchema } from "../read/ofrep-routes.ts";
import { requestSchema as propertiesSchema } from "../refresh/set-properties-route.ts";

const failure = z.looseObject({ error: z.looseObject({ code: z.string(), message: z.string() }) });

const flags = z.record(z.string(), z.unknown()).describe("The value of every flag, by name.");
const time = z.number().describe("Milliseconds since the epoch.");

const result = z.looseObject({
  flags,
  status: z.enum(["present", "missing", "deleted", "invalid", "unavailable"]),
  source: z.enum(["record", "claims", "defaults"]),
  fetchedAt: time.nullable(),
  age: z.number().min(0).nullable().describe("Milliseconds since fetchedAt."),
  denied: z.array(z.string()).describe("Flags that have their deny value."),
  complete: z.boolean().optional().describe("With the status missing: whether the store holds every user."),
});

const evaluation = z.looseObject({
  key: z.string(),
  value: z.unknown().optional(),
  reason: z.string().optional(),
  errorCode: z.string().optional(),
  metadata: z.looseObject({}).optional(),
});
const evaluationFailure = z.looseObject({
  key: z.string().optional(),
  errorCode: z.string(),
  errorDetails: z.string().optional(),
});
const evaluations = z.looseObject({
  flags: z.array(evaluation),
  metadata: z.looseObject({}),
  eventStreams: z.array(z.looseObject({ type: z.literal("sse"), endpoint: z.looseObject({ requestUri: z.string() }) })),
});

/** Schemas by the name that the description gives them. */
const named = {
  Failure: failure,
  Flags: result,
  FlagsOfMany: z.looseObject({ users: z.record(z.string(), result) }),
  Written: z.looseObject({
    flags,
    ticket: z.number(),
    fetchedAt: time,
    misfits: z.array(z.looseObject({ flag: z.string(), reason: z.string() })),
  }),
  Evaluation: evaluation,
  Evaluations: evaluations,
  EvaluationFailure: evaluationFailure,
  Health: z.looseObject({ status: z.literal("alive") }),
  Readiness: z.looseObject({ status: z.enum(["ready", "not_ready"]) }),
  Admission: z.looseObject({ status: z.string() }),
};
type SchemaName = keyof typeof named;

type Answers = Readonly<Record<number, readonly [description: string, schema?: SchemaName]>>;

interface Operation {
  summary: string;
  security: readonly object[];
  parameters?: readonly object[];
  requestBody?: object;
  answers: Answers;
}

const bearer = { bearer: [] };
const refusals: Answers = {
  401: ["No valid token.", "Failure"],
  403: ["The token lacks the scope, or belongs to another user.", "Failure"],
  429: ["Too many requests; see Retry-After.", "Failure"],
};
const malformed: Answers = { 400: ["The path, query or body is malformed.", "Failure"] };
const tooLarge: Answers = { 413: ["The body is too large.", "Failure"] };
const keysAway: Answers = { 503: ["Signing keys or Redis cannot be reached; see Retry-After.", "Failure"] };

const json = (schema: object) => ({ content: { "application/json": { schema } } });
const body = (schema: z.ZodType) => ({ required: true, ...json(toJson(schema)) });

const userId = {
  name: "id",
  in: "path",
  required: true,
  description: "Kinde's id of the user.",
  schema: { type: "string", pattern: "^kp[_:][0-9A-Za-z]{1,64}$" },
};
const wait = {
  name: "wait",
  in: "query",
  description: "Longest wait for a refresh, in milliseconds.",
  schema: { type: "integer", minimum: 0, maximum: maxWaitMs },
};
const maxAge = {
  name: "maxAge",
  in: "query",
  description: `Refresh a record that is older, in milliseconds; at least ${minUserMaxAgeMs} with a user's token.`,
  schema: { type: "integer", minimum: 0 },
};
const organization = {
  name: "organization",
  in: "query",
  description: "Code of the current organization, for flags that depend on it. A user's token names it itself.",
  schema: { type: "string", pattern: "^org_[0-9A-Za-z]{1,64}$" },
};
const ifNoneMatch = { name: "If-None-Match", in: "header", schema: { type: "string" } };
const unchanged: Answers = { 304: ["The values are those of the tag in If-None-Match."] };

const operations: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  "/v1/flags": {
    get: {
      summary: "Read the flags of the user whose access token is sent",
      security: [bearer],
      parameters: [maxAge, wait, ifNoneMatch],
      answers: { 200: ["The flags.", "Flags"], ...unchanged, ...malformed, ...refusals, ...keysAway },
    },
    post: {
      summary: `Read the flags of up to ${maxUsers} users`,
      security: [bearer],
      requestBody: body(manySchema),
      answers: { 200: ["The flags, by user id.", "FlagsOfMany"], ...malformed, ...refusals, ...tooLarge, ...keysAway },
    },
  },
  "/v1/users/{id}/flags": {
    get: {
      summary: "Read the flags of a user",
      security: [bearer],
      parameters: [userId, maxAge, wait, organization, ifNoneMatch],
      answers: { 200: ["The flags.", "Flags"], ...unchanged, ...malformed, ...refusals, ...keysAway },
    },
  },
  "/v1/users/{id}/refresh": {
    post: {
      summary: "Refresh a user",
      security: [bearer],
      parameters: [userId, wait, organization],
      answers: {
        200: ["The refreshed flags.", "Flags"],
        202: ["The refresh is requested. These are the flags until then.", "Flags"],
        ...malformed,
        ...refusals,
        ...keysAway,
      },
    },
  },
  "/v1/users/{id}/properties": {
    post: {
      summary: "Set properties of a user in Kinde",
      security: [bearer],
      parameters: [userId],
      requestBody: body(propertiesSchema),
      answers: {
        200: ["Kinde has the values and every reader sees them.", "Written"],
        400: ["The request is malformed, or Kinde refuses the values.", "Failure"],
        404: ["Kinde has no such user.", "Failure"],
        ...refusals,
        ...tooLarge,
        502: ["Something must be changed in Kinde or in the settings.", "Failure"],
        503: ["The same request can succeed later; see Retry-After.", "Failure"],
      },
    },
  },
  "/v1/flags/stream": {
    get: {
      summary: "Follow the flags of a user as server-sent events",
      security: [bearer, { streamKey: [] }],
      parameters: [
        { name: "user", in: "query", description: "User id; with a service token.", schema: userId.schema },
        organization,
        { name: "Last-Event-ID", in: "header", schema: { type: "string" } },
      ],
      answers: { 200: ["An endless text/event-stream."], ...malformed, ...refusals, ...keysAway },
    },
  },
  "/ofrep/v1/evaluate/flags": {
    post: {
      summary: "Evaluate all flags (OpenFeature Remote Evaluation Protocol)",
      security: [bearer, { apiKey: [] }],
      parameters: [ifNoneMatch],
      requestBody: body(evaluationSchema),
      answers: {
        200: ["All flags.", "Evaluations"],
        ...unchanged,
        400: ["The body or its context is malformed.", "EvaluationFailure"],
        ...refusals,
        ...tooLarge,
        ...keysAway,
      },
    },
  },
  "/ofrep/v1/evaluate/flags/{key}": {
    post: {
      summary: "Evaluate one flag (OpenFeature Remote Evaluation Protocol)",
      security: [bearer, { apiKey: [] }],
      parameters: [{ name: "key", in: "path", required: true, schema: { type: "string" } }, ifNoneMatch],
      requestBody: body(evaluationSchema),
      answers: {
        200: ["The flag.", "Evaluation"],
        ...unchanged,
        400: ["The body or its context is malformed.", "EvaluationFailure"],
        404: ["No such flag.", "EvaluationFailure"],
        500: ["Redis does not answer.", "EvaluationFailure"],
        ...refusals,
        ...tooLarge,
        ...keysAway,
      },
    },
  },
  "/webhooks/kinde": {
    post: {
      summary: "Receive an event from Kinde",
      security: [],
      requestBody: { required: true, content: { "application/jwt": { schema: { type: "string" } } } },
      answers: {
        200: ["The event is kept.", "Admission"],
        400: ["Not an event that can be accepted; a retry cannot succeed.", "Failure"],
        401: ["Not an event of this Kinde domain.", "Failure"],
        ...tooLarge,
        503: ["Temporary: deliver again.", "Failure"],
      },
    },
  },
  "/healthz": {
    get: { summary: "Whether the process is alive", security: [], answers: { 200: ["It is.", "Health"] } },
  },
  "/readyz": {
    get: {
      summary: "Whether the process can serve",
      security: [],
      answers: { 200: ["It can.", "Readiness"], 503: ["A part is missing.", "Readiness"] },
    },
  },
  "/openapi.json": {
    get: { summary: "This description", security: [], answers: { 200: ["An OpenAPI 3.1 document."] } },
  },
};

function toJson(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
}

function describe({ answers, ...operation }: Operation) {
  const responses = Object.entries(answers).map(([status, [description, schema]]) => [
    status,
    { description, ...(schema !== undefined && json({ $ref: `#/components/schemas/${schema}` })) },
  ]);
  return { ...operation, responses: Object.fromEntries(responses) };
}

/**
 * Returns the OpenAPI 3.1 description of every route of the server. Routes whose kind of token is not configured are
 * described too.
 */
export function describeApi() {
  return {
    openapi: "3.1.0",
    info: {
      title: "Kindling",
      version: "1",
      description: "Kinde users' flags. Members can be added to answers: ignore those you do not know.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    paths: Object.fromEntries(
      Object.entries(operations).map(([path, methods]) => [
        path,
        Object.fromEntries(Object.entries(methods).map(([method, operation]) => [method, describe(operation)])),
      ]),
    ),
    components: {
      schemas: Object.fromEntries(Object.entries(named).map(([name, schema]) => [name, toJson(schema)])),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "A service token, or a user's Kinde access token." },
        apiKey: { type: "apiKey", in: "header", name: "X-API-Key", description: "A service token." },
        streamKey: { type: "apiKey", in: "query", name: "key", description: "The key in the eventStreams of OFREP." },
      },
    },
  };
}

/** Creates the route `GET /openapi.json`. */
export function openApiRoute(): Hono {
  const text = JSON.stringify(describeApi());
  return new Hono().get("/openapi.json", (context) => context.body(text, 200, { "Content-Type": "application/json" }));
}
