import type { ForRequest } from "kindling/sveltekit";
import type definitions from "../kindling.flags.js";

declare global {
  namespace App {
    interface Locals {
      kindling: ForRequest<typeof definitions>;
    }
  }
}
