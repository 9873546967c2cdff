/** What must be closed again, in the reverse order of its opening. */
export interface Closers {
  add(close: () => Promise<unknown>): void;
  /** Closes everything, even when something fails to; then throws the first failure. */
  closeAll(): Promise<void>;
}

export function createClosers(): Closers {
  const closers: (() => Promise<unknown>)[] = [];
  return {
    add: (close) => closers.push(close),
    async closeAll() {
      const failures: unknown[] = [];
      for (const close of closers.splice(0).reverse()) await close().catch((error: unknown) => failures.push(error));
      if (failures.length > 0) throw failures[0];
    },
  };
}
