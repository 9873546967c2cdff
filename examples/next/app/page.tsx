import Link from "next/link";
import { readFlags, signIn } from "../lib/flags";

export default async function Home() {
  const { userId, flags } = await readFlags();
  if (userId === null) {
    return (
      <main>
        <h1>Notes</h1>
        <a href={signIn}>Sign in</a>
      </main>
    );
  }
  return (
    <main>
      <h1>Notes</h1>
      <p>{`Your plan: ${flags.tier}.`}</p>
      <Link href="/notes">Open your notes</Link>
    </main>
  );
}
