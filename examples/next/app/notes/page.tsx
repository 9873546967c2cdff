import { requireFlag } from "kindling/next";
import { readFlags, signIn } from "../../lib/flags";

export default async function Notes() {
  await requireFlag(readFlags, "onboarded", { signIn, redirect: "/welcome" });
  return <h1>Your notes</h1>;
}
