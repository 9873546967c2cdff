/** Progress of a long operation. Flows report it; the caller decides whether and how to show it. */
export type ProgressEvent =
  /** The operation resumes an earlier run that stopped after `done` users. */
  | { type: "resumed"; done: number; startedAt: number }
  | { type: "advanced"; done: number; total: number | undefined; calls?: number }
  /** The operation waits for about `ms` milliseconds. */
  | { type: "waiting"; for: "workers" | "Kinde"; ms: number };

/** Receives the progress of a long operation. */
export type ReportProgress = (event: ProgressEvent) => void;
