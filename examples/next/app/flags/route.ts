import { readFlags } from "../../lib/flags";

export async function GET() {
  const { flags } = await readFlags();
  return Response.json(flags);
}
