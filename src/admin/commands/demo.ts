import type { Command } from "commander";

/** `kindling demo`. */
export function addDemo(_program: Command): void {}
