import { createEmulator } from "kinde-emulator";
import { serveParent, setting } from "./parent.ts";

/** Kinde, with so many users, in a process of its own. */
const emulator = await createEmulator({
  users: Number(setting("BENCH_USERS")),
  clientId: "bench",
  clientSecret: "bench-secret",
});
serveParent(Number(new URL(emulator.url).port), () => emulator.close());
