import { drawLines, type Panel } from "../../bench/support/picture.ts";
import { ownName, type Sample } from "./samples.ts";

const mebibyte = 1024 ** 2;

/** Draws memory and backlog of a soak as `bench/pictures/soak.svg`. */
export async function drawSoak(title: string, samples: readonly Sample[], faultsAt: readonly number[]): Promise<void> {
  const names = [...new Set(samples.flatMap(({ memory }) => Object.keys(memory)))].filter((name) => name !== ownName);
  const line = (label: string, figure: (sample: Sample) => number | undefined) => ({
    label,
    points: samples.flatMap((sample): [number, number][] => {
      const value = figure(sample);
      return value === undefined ? [] : [[sample.at / 60, value]];
    }),
  });
  const inMebibytes = (bytes: number | undefined) => (bytes === undefined ? undefined : bytes / mebibyte);
  const panels: Panel[] = [
    {
      title: "Resident memory, MiB",
      lines: names.map((name) => line(name, ({ memory }) => inMebibytes(memory[name]))),
    },
    { title: "Redis' used memory, MiB", lines: [line("Redis", ({ redis }) => inMebibytes(redis?.usedMemory))] },
    {
      title: "Users in the ledger, and users to confirm",
      lines: [line("ledger", ({ redis }) => redis?.ledger), line("to confirm", ({ redis }) => redis?.confirm)],
    },
  ];
  await drawLines("soak", { title, unit: "minutes", panels, marks: faultsAt.map((ms) => ms / 60_000) });
}
