import type { NextConfig } from "next";

export default {
  // `requireFlag` answers with status 403 by Next's forbidden().
  experimental: { authInterrupts: true },
} satisfies NextConfig;
