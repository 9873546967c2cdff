import type { Emulator, LogEntry } from "../../packages/kinde-emulator/src/types.ts";

/** Makes a change that sends an event at the moment a torn read strikes, between the two calls of a fetch. */
export interface Tearing {
  /** Changes by user id. */
  changes: Map<string, () => void>;
  /** Listener to pass to the emulator. */
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
    // Runs after the emulator has changed the properties.
    onEvent: (entry) => {
      if (entry.type === "fault" && entry.action === "removed" && entry.kind === "torn_read") setImmediate(torn);
    },
    watch: (watched) => {
      emulator = watched;
    },
  };
}
