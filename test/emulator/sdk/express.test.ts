import { createServer } from "node:http";
import { GrantType, getUser, protectRoute, setupKinde } from "@kinde-oss/kinde-node-express";
import express from "express";
import { expect, it } from "vitest";
import { createBrowser } from "../../support/browser.ts";
import { useCleanup, useEmulator } from "../support.ts";

const start = useEmulator();
const cleanup = useCleanup();

it("@kinde-oss/kinde-node-express signs in, refreshes and signs out", async () => {
  const emulator = await start();
  const user = emulator.kinde.createUser({ email: "ada@example.com", firstName: "Ada" });
  emulator.signInAs(user.id);
  const [application] = emulator.applications.list();
  const app = express();
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  const site = `http://localhost:${typeof address === "object" && address ? address.port : 0}`;
  const client = setupKinde(
    {
      clientId: application?.clientId ?? "",
      issuerBaseUrl: emulator.url,
      siteUrl: site,
      secret: application?.clientSecret ?? "",
      redirectUrl: `${site}/kinde_callback`,
      scope: "openid profile email offline",
      grantType: GrantType.AUTHORIZATION_CODE,
      unAuthorisedUrl: `${site}/unauthorised`,
      postLogoutRedirectUrl: `${site}/bye`,
    },
    app,
  );
  if (!("refreshTokens" in client)) throw new Error("The SDK returned a client without refresh tokens.");
  app.get("/bye", (_request, response) => void response.send("bye"));
  app.get("/me", protectRoute, getUser, (request, response) => void response.json(Reflect.get(request, "user")));
  app.get("/refresh", async (request, response) => {
    const session = request as unknown as Parameters<typeof client.refreshTokens>[0];
    const before = await client.getToken(session);
    const { access_token } = await client.refreshTokens(session);
    response.json({ same: access_token === before });
  });

  const browser = createBrowser();
  expect((await browser.open(`${site}/me`)).body).toBe("bye");
  const landed = await browser.open(`${site}/login`);
  expect(landed.visited.map((url) => new URL(url).pathname)).toEqual([
    "/login",
    "/oauth2/auth",
    "/kinde_callback",
    "/",
  ]);
  expect(JSON.parse((await browser.open(`${site}/me`)).body)).toMatchObject({ id: user.id, email: "ada@example.com" });
  expect(JSON.parse((await browser.open(`${site}/refresh`)).body)).toEqual({ same: true });
  expect((await browser.open(`${site}/logout`)).body).toBe("bye");
  expect((await browser.open(`${site}/me`)).body).toBe("bye");
});
