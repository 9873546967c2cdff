import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [sveltekit()],
  // The emulated Kinde has the name 127.0.0.1: the two must not share cookies.
  server: { host: "localhost", port: Number(process.env.PORT ?? 5173), strictPort: true },
});
