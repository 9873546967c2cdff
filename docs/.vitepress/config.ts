import { defineConfig } from "vitepress";

const description = "Kinde users' flags, warm in Redis: one GET instead of a call to Kinde or a stale token.";

export default defineConfig({
  title: "Kindling",
  description,
  lang: "en-US",
  cleanUrls: true,
  lastUpdated: false,
  head: [["meta", { name: "theme-color", content: "#bc4c00" }]],
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Guide", link: "/guide/getting-started" },
      { text: "How it works", link: "/design" },
      { text: "Operations", link: "/operations" },
    ],
    sidebar: [
      {
        text: "Guide",
        items: [
          { text: "Getting started", link: "/guide/getting-started" },
          { text: "Reading flags", link: "/guide/reading" },
          { text: "Reading over HTTP", link: "/guide/http" },
          { text: "Reacting to changes", link: "/guide/changes" },
          {
            text: "App servers",
            link: "/guide/app-servers",
            items: [
              { text: "SvelteKit", link: "/guide/sveltekit" },
              { text: "Next.js", link: "/guide/next" },
              { text: "Hono", link: "/guide/hono" },
              { text: "Express", link: "/guide/express" },
              { text: "Fastify", link: "/guide/fastify" },
              { text: "OpenFeature", link: "/guide/openfeature" },
            ],
          },
          { text: "Setting properties", link: "/guide/writing" },
          { text: "Testing your app", link: "/guide/testing" },
        ],
      },
      {
        text: "Concepts",
        items: [
          { text: "How Kindling works", link: "/design" },
          { text: "Guards and faults", link: "/guards" },
        ],
      },
      {
        text: "Running it",
        items: [
          { text: "Deploying", link: "/deploying" },
          { text: "Redis", link: "/redis" },
          { text: "Sizing", link: "/sizing" },
          { text: "Operations", link: "/operations" },
          { text: "Dashboard", link: "/dashboard" },
          { text: "Security", link: "/security" },
          { text: "Backup", link: "/backup" },
          { text: "Upgrading", link: "/upgrading" },
          { text: "Multiple tenants", link: "/multiple-tenants" },
        ],
      },
    ],
  },
});
