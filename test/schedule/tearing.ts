import type { Emulator, LogEntry } from "../../packages/kinde-emulator/src/types.ts";

/** Makes, at the instant a torn read strikes, the change that Kinde does tell of: it falls between the two calls. */
export interface Tearing {
  /** What to change for whom. */
  changes: Map<string, () => void>;
  /** To be given to the emulator. */
  onEvent: (entry: LogEntry) => void;
  watch(emulator: Emulator): void;
}

export function createTearing(): Tearing {
  const changes = new Map<string, () => void>();
  let emulator: Emulator | undefined;
  const torn = () => {
    const armed = new Set(
      emulator?.faults.list().flatMap(({ fault }) => (fault.kind === "torn_read" && fault.change ? fault.user : [])),
    );
    for (const [user, change] of changes) {
      if (armed.has(user)) continue;
      changes.delete(user);
      change();
    }
  };
  return {
    changes,
    // Once the emulator has made the change of the properties.
    onEvent: (entry) => {
      if (entry.type === "fault" && entry.action === "removed" && entry.kind === "torn_read") setImmediate(torn);
    },
    watch: (watched) => {
      emulator = watched;
    },
  };
}
