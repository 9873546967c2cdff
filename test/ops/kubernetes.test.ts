import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { Ingress } from "kubernetes-models/networking.k8s.io/v1/Ingress";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Service } from "kubernetes-models/v1/Service";
import ts from "typescript";
import { afterEach, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { settingNames } from "../../src/config.ts";
import { envOf, type Spawned, spawnKindling } from "../cli/command-line.ts";
import { startEmulator } from "../support/emulator.ts";
import { freePort } from "../support/free-port.ts";
import { dropKeys, testConfig } from "../support/stack.ts";
import { until } from "../support/until.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

const models = { ConfigMap, Deployment, Ingress, PodDisruptionBudget, Service };
/** Modules of the models' types, by kind. */
const modules = {
  ConfigMap: "v1/ConfigMap",
  Deployment: "apps/v1/Deployment",
  Ingress: "networking.k8s.io/v1/Ingress",
  PodDisruptionBudget: "policy/v1/PodDisruptionBudget",
  Service: "v1/Service",
};

interface Manifest {
  kind: keyof typeof models;
  metadata: { name: string };
}

interface Container {
  args: string[];
  image: string;
  ports?: { name: string; containerPort: number }[];
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
}

interface Probe {
  httpGet: { path: string; port: string };
}

const manifests = parseAllDocuments(readFileSync(join(root, "ops/kubernetes/kindling.yaml"), "utf8")).map((document) =>
  document.toJS(),
) as Manifest[];
const ofKind = <T>(kind: Manifest["kind"]) => manifests.filter((each) => each.kind === kind) as (Manifest & T)[];
const deployments = ofKind<{
  spec: { template: { metadata: { labels: Record<string, string> }; spec: { containers: [Container] } } };
}>("Deployment");
const [config] = ofKind<{ data: Record<string, string> }>("ConfigMap");

/** Returns what the API server would refuse: the schemas' complaints, and members that the API does not have. */
function problemsIn(all: readonly Manifest[]): string[] {
  const refused = all.flatMap((manifest) => {
    try {
      new models[manifest.kind](manifest as never).validate();
      return [];
    } catch (error) {
      return [`${manifest.kind} ${manifest.metadata.name}: ${String(error)}`];
    }
  });
  return [...refused, ...unknownMembers(all)];
}

// The schemas allow unknown members. The types of the same package do not, if a literal is assigned to them.
function unknownMembers(all: readonly Manifest[]): string[] {
  const file = join(root, "manifests.ts");
  const text = all
    .map(
      (manifest, index) =>
        `import type { I${manifest.kind} as I${index} } from "kubernetes-models/${modules[manifest.kind]}";\n` +
        `export const m${index}: I${index} = ${JSON.stringify(manifest)};`,
    )
    .join("\n");
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, target, ...rest) =>
    name === file ? ts.createSourceFile(name, text, target) : getSourceFile(name, target, ...rest);
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([file], options, host));
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

const running: Spawned[] = [];
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const { child, ended } of running.splice(0)) {
    child.kill("SIGKILL");
    await ended;
  }
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

describe("the Kubernetes manifests", () => {
  it("are valid by the schemas of the Kubernetes API", () => {
    expect(manifests.map(({ kind }) => kind)).toContain("Deployment");
    expect(problemsIn(manifests)).toEqual([]);
  });

  it.each([
    ["a misspelt member", '"readOnlyRootFilesystem"', '"readOnlyRootFileSystem"'],
    ["a value of another type", '"replicas":2', '"replicas":"two"'],
    ["a missing member", '"selector":{"matchLabels"', '"selectors":{"matchLabels"'],
  ])("would be found to have %s", (_, good, bad) => {
    const text = JSON.stringify(manifests);
    expect(text).toContain(good);
    expect(problemsIn(JSON.parse(text.replace(good, bad)))).not.toEqual([]);
  });

  it("give containers no privilege, a read-only file system and limits", () => {
    expect(deployments).toHaveLength(2);
    for (const { spec } of deployments) {
      expect(spec.template.spec).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
        containers: [
          {
            resources: { limits: { memory: expect.any(String) } },
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ["ALL"] },
            },
          },
        ],
      });
    }
  });

  it("select the pods and ports that exist", () => {
    const services = ofKind<{ spec: { selector: Record<string, string>; ports: { targetPort: string }[] } }>("Service");
    for (const { spec } of services) {
      const selected = deployments.filter(({ spec: { template } }) =>
        Object.entries(spec.selector).every(([label, value]) => template.metadata.labels[label] === value),
      );
      expect(selected).toHaveLength(1);
      const ports = selected.flatMap((each) => each.spec.template.spec.containers[0].ports?.map(({ name }) => name));
      for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort);
    }
    const [ingress] = ofKind<{ spec: { rules: { http: { paths: { path: string; backend: object }[] } }[] } }>(
      "Ingress",
    );
    expect(ingress?.spec.rules[0]?.http.paths).toMatchObject([
      { path: "/webhooks/kinde", backend: { service: { name: "kindling", port: { name: "http" } } } },
    ]);
  });

  it("set only settings that exist", () => {
    expect(Object.keys(config?.data ?? {}).filter((name) => !settingNames.includes(name))).toEqual([]);
  });

  it.each(deployments.map((each) => [each.metadata.name, each.spec.template.spec.containers[0]] as const))(
    "start %s by its arguments, and its probes and ports answer",
    async (_, { args, ports = [], ...probes }) => {
      const emulator = await startEmulator();
      const settings = testConfig(emulator);
      cleanups.push(
        () => emulator.close(),
        () => dropKeys(settings),
      );
      const local = Object.fromEntries(
        await Promise.all(ports.map(async ({ name }) => [name, await freePort()] as const)),
      );
      const containerPort = (name: string) => ports.find((port) => port.name === name)?.containerPort;
      if (ports.length > 0) {
        expect(containerPort("http")).toBe(3000);
        expect(String(containerPort("metrics"))).toBe(config?.data.KINDLING_METRICS_PORT);
      }
      const env = {
        ...config?.data,
        ...envOf(settings),
        PORT: String(local.http ?? 0),
        KINDLING_METRICS_PORT: String(local.metrics ?? 0),
      };
      const spawned = spawnKindling(args, env);
      running.push(spawned);
      await spawned.says(ports.length > 0 ? /"msg":"metrics server listens"/ : /"msg":"workers started"/);
      const gets = Object.values(probes).flatMap((probe) =>
        typeof probe === "object" && "httpGet" in probe ? [probe.httpGet] : [],
      );
      expect(gets.length).toBe(ports.length > 0 ? 3 : 0);
      for (const { path, port } of gets) {
        await until(async () => expect((await fetch(`http://127.0.0.1:${local[port]}${path}`)).status).toBe(200));
      }
      spawned.child.kill("SIGTERM");
      expect((await spawned.ended).code).toBe(0);
    },
  );
});
