// node scripts/digest-kinde-api.mjs <spec.yaml>: writes what the conformance test needs of Kinde's OpenAPI description of
// the Management API: parameters, required members and response members of the operations that the emulator implements.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const [specPath] = process.argv.slice(2);
if (specPath === undefined) {
  console.error("error: name the OpenAPI description, such as kinde-mgmt-api-specs.yaml.");
  process.exit(2);
}
await import("tsx");
const { createTenant } = await import("../packages/kinde-emulator/src/tenant.ts");
const { routesOf } = await import("../packages/kinde-emulator/src/create-emulator.ts");

const spec = parse(readFileSync(specPath, "utf8"));
const target = fileURLToPath(new URL("../test/emulator/conformance/kinde-api.json", import.meta.url));

const resolve = (node) => {
  if (node?.$ref === undefined) return node ?? {};
  return resolve(
    node.$ref
      .slice(2)
      .split("/")
      .reduce((at, key) => at[key], spec),
  );
};

/** `{member: shape}` for objects, `[shape]` for arrays, `"type"` for the rest; `?` marks null as allowed. */
function shapeOf(node, depth = 0) {
  const schema = resolve(node);
  const parts = schema.allOf ?? (schema.oneOf ?? schema.anyOf)?.slice(0, 1);
  if (parts) return Object.assign({}, ...parts.map((part) => shapeOf(part, depth)));
  if (depth > 8) return "any";
  if (schema.type === "array") return [shapeOf(schema.items, depth + 1)];
  if (schema.properties) {
    const members = Object.entries(schema.properties).map(([name, member]) => [name, shapeOf(member, depth + 1)]);
    return { ...Object.fromEntries(members), ...(schema.nullable && { "?": true }) };
  }
  return (schema.type ?? "any") + (schema.nullable ? "?" : "");
}

function digestOf(path, method) {
  const operation = spec.paths[path]?.[method.toLowerCase()];
  if (!operation) return undefined;
  const described = [...(spec.paths[path].parameters ?? []), ...(operation.parameters ?? [])].map(resolve);
  const query = described.filter((parameter) => parameter.in === "query");
  const body = resolve(resolve(operation.requestBody).content?.["application/json"]?.schema);
  const success = Object.keys(operation.responses).find((status) => status.startsWith("2"));
  const content = resolve(operation.responses[success]).content ?? {};
  const answer = content["application/json"] ?? content["application/json; charset=utf-8"];
  const scope = operation["x-scope"] ?? /<code>([a-z]+:[a-z_]+)<\/code>/.exec(operation.description ?? "")?.[1];
  return {
    ...(scope && { scope }),
    ...(query.length > 0 && {
      query: Object.fromEntries(
        query.map(({ name, required = false, schema }) => [
          name,
          { required, ...(resolve(schema).enum && { values: resolve(schema).enum.filter(Boolean) }) },
        ]),
      ),
    }),
    ...(body.properties && { body: { required: body.required ?? [], members: Object.keys(body.properties) } }),
    status: Number(success),
    ...(answer?.schema && { answer: shapeOf(answer.schema) }),
  };
}

const tenant = await createTenant({}, () => "");
const operations = {};
const undocumented = [];
for (const { method, path } of routesOf(tenant)) {
  const digest = digestOf(`/api/v1${path}`, method);
  if (digest) operations[`${method} ${path}`] = digest;
  else undocumented.push(`${method} ${path}`);
}
const sorted = Object.fromEntries(Object.entries(operations).sort(([a], [b]) => a.localeCompare(b)));
writeFileSync(target, `${JSON.stringify({ version: spec.info.version, operations: sorted }, null, 1)}\n`);
console.log(`${Object.keys(sorted).length} operations: ${target}`);
if (undocumented.length > 0) console.log(`Not in the description: ${undocumented.join(", ")}`);
