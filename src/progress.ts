/** How far a long operation has come. Whoever runs it decides whether and how to show it. */
export type ProgressEvent =
  /** It continues an earlier run that stopped after `done` users. */
  | { type: "resumed"; done: number; startedAt: number }
  | { type: "advanced"; done: number; total: number | undefined; calls?: number }
  /** It waits, for about this many milliseconds. */
  | { type: "waiting"; for: "workers" | "Kinde"; ms: number };

/** Receives the progress of a long operation. */
export type ReportProgress = (event: ProgressEvent) => void;
