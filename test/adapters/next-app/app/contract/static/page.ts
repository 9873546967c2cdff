import { readFlags } from "../read-flags.ts";

export const dynamic = "error";

export default async function Page() {
  return (await readFlags()).reason;
}
