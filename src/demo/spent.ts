/** Time that something took: `134 ms`, `1.3 s`. */
export function spent(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
