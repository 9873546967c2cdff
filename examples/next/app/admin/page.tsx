import { requireFlag } from "kindling/next";
import { readFlags, signIn } from "../../lib/flags";

export default async function Admin() {
  await requireFlag(readFlags, ({ admin, suspended }) => admin && !suspended, { signIn });
  return <h1>Everybody’s notes</h1>;
}
