import type { ManagementApi } from "../kinde/management-api.ts";

/** The same API, and how many calls were made since it was last asked. */
export function countCalls(api: ManagementApi): { api: ManagementApi; take(): number } {
  let calls = 0;
  return {
    api: {
      get(call, options) {
        calls += 1;
        return api.get(call, options);
      },
      send(change, options) {
        calls += 1;
        return api.send(change, options);
      },
    },
    take() {
      const taken = calls;
      calls = 0;
      return taken;
    },
  };
}
