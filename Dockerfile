# syntax=docker/dockerfile:1

# Node's current LTS line, pinned by digest. Dependabot renews the digest.
FROM node:26-slim@sha256:c0753125a3789977aefe869cbebccf70e3cfd7ea84ca48547458f02e4f1d7146 AS manifests
WORKDIR /app
COPY package.json package-lock.json ./
COPY packages/kindling/package.json packages/kindling/
COPY packages/kinde-emulator/package.json packages/kinde-emulator/

# What runs in production, and nothing else: no emulator, no demo, no development dependency.
FROM manifests AS dependencies
RUN npm ci --ignore-scripts --omit=dev --workspace=kindling --include-workspace-root --no-audit --no-fund

FROM manifests AS build
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.package.json tsconfig.build.json ./
COPY packages packages
COPY scripts scripts
COPY src src
COPY workers workers
RUN npm run build

# Kinde on localhost, for development: docker compose --profile emulator.
FROM node:26-slim@sha256:c0753125a3789977aefe869cbebccf70e3cfd7ea84ca48547458f02e4f1d7146 AS emulator
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages/kinde-emulator packages/kinde-emulator
USER node
EXPOSE 4000
ENTRYPOINT ["node", "packages/kinde-emulator/dist/main.js"]

FROM node:26-slim@sha256:c0753125a3789977aefe869cbebccf70e3cfd7ea84ca48547458f02e4f1d7146
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/packages/kindling/package.json packages/kindling/
COPY --from=build /app/packages/kindling/dist packages/kindling/dist
COPY --from=build /app/dist dist
# The flags file is read at start: mount yours over it, or build with it.
COPY package.json kindling.flags.ts ./
USER node
EXPOSE 3000
# For `start` and `server`. A container that runs only `worker` listens nowhere and disables it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["start"]
