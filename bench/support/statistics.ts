/** The value below which that share of all lies; `values` need no order. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const middle = quantile(values, 0.5);
  if (values.length % 2 === 1) return middle;
  const sorted = Float64Array.from(values).sort();
  return ((sorted[values.length / 2 - 1] ?? Number.NaN) + middle) / 2;
}

/** Median, least and greatest of what the rounds found. */
export function overRounds(values: readonly number[]): { value: number; spread: readonly [number, number] } {
  return { value: median(values), spread: [Math.min(...values), Math.max(...values)] };
}

/** Rounded to what a figure of its size can claim. */
export function round(value: number): number {
  return Number(value.toPrecision(Math.abs(value) >= 1000 ? 4 : 3));
}
