/** What a benchmark is told. */
export interface BenchOptions {
  /** A short run: figures to see that all works, not to quote. */
  quick: boolean;
  /** A line about what goes on. */
  say: (line: string) => void;
}

/** One benchmark: peers side by side, and how we compare. */
export interface Benchmark {
  title: string;
  run(options: BenchOptions): Promise<Outcome>;
}

/** What a benchmark found. */
export interface Outcome {
  tables: Table[];
  comparisons: Comparison[];
  /** How to read the figures: what the floor is, and why. */
  notes: string[];
}

/** Figures by row and column; each row's first cell is its name. */
export interface Table {
  columns: string[];
  rows: (string | number)[][];
}

/** One figure that has a goal. */
export interface Comparison {
  what: string;
  value: number;
  unit: string;
  /** Least and greatest over the rounds, where there were several. */
  spread?: readonly [least: number, greatest: number];
  goal: { atLeast: number } | { atMost: number };
}

/** Whether the goal is reached. */
export function isMet({ value, goal }: Comparison): boolean {
  return "atLeast" in goal ? value >= goal.atLeast : value <= goal.atMost;
}
