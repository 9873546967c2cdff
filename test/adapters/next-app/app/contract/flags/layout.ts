import { createElement, type ReactNode } from "react";
import { readFlags } from "../read-flags.ts";

export default async function Layout({ children }: { children: ReactNode }) {
  const { flags } = await readFlags();
  return createElement("main", { title: flags.tier }, children);
}
