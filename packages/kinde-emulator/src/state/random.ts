/** Scrambles 32 bits so that neighbours share nothing. */
export function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** A repeatable stream of numbers in [0, 1). */
export function createRandom(seed: number): () => number {
  let state = mix(seed + 0x9e3779b9);
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    return mix(state) / 0x1_0000_0000;
  };
}

/** A whole number in [0, below) from a number in [0, 1). */
export const below = (random: number, limit: number): number => Math.floor(random * limit);
