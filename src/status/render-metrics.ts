/** One metric: a name, what it means, and its samples. Fleet-wide, never about a single user. */
export interface Metric {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  samples: readonly Sample[];
}

/** One value; `suffix` is what a histogram's parts end in. */
export interface Sample {
  suffix?: "_bucket" | "_sum" | "_count";
  labels?: Readonly<Record<string, string>>;
  value: number;
}

/**
 * Metrics in Prometheus' text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/. The
 * numbers lie in Redis and are the fleet's, so that a client library's registry in this process would have no part in it.
 */
export function renderMetrics(metrics: readonly Metric[]): string {
  return metrics.map(render).join("");
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

function render({ name, help, type, samples }: Metric): string {
  const lines = samples.map(({ suffix = "", labels = {}, value }) => `${name}${suffix}${braces(labels)} ${value}\n`);
  return `# HELP ${name} ${help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function braces(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/"/g, '\\"');
}
