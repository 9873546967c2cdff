import { requireFlag } from "kindling/next";
import { readFlags, signIn } from "../../lib/flags";
import { finish } from "./finish";

export default async function Welcome() {
  await requireFlag(readFlags, () => true, { signIn });
  return (
    <main>
      <h1>Welcome</h1>
      <form action={finish}>
        <button type="submit">Start writing</button>
      </form>
    </main>
  );
}
