import { type Guard, guards, promises } from "./guards.ts";

/** Returns the table of guards, as Markdown. */
export function guardTable(): string {
  const rows = Object.entries(promises).flatMap(([number, promise]) =>
    guards
      .filter((guard) => String(guard.promise) === number)
      .map((guard) => `| ${number}. ${promise} | ${guard.name} | \`${guard.file}\` | ${proofOf(guard)} |`),
  );
  return ["| promise | guard | where | what fails without it |", "|---|---|---|---|", ...rows].join("\n");
}

function proofOf({ proof }: Guard): string {
  if ("test" in proof) return `\`${proof.test}\`: ${proof.name.replaceAll("|", "\\|")}`;
  return `schedules of ${proof.actions.join(", ")}`;
}
