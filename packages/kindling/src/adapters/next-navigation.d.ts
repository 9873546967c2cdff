// Next's bundler replaces exactly this name, depending on where it runs. Node's resolution needs `.js`, so TypeScript
// does not know it.
declare module "next/navigation" {
  export * from "next/navigation.js";
}
