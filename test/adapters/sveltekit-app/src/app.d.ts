import type { ForRequest } from "kindling/sveltekit";
import type definitions from "../../definitions.ts";

declare global {
  namespace App {
    interface Locals {
      kindling: ForRequest<typeof definitions>;
    }
  }
}
