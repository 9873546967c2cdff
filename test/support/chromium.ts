import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe } from "vitest";
import { canInstallFromApt, installFromApt } from "../../src/demo/embedded-redis.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** Returns the path of an installed Chromium, or undefined. */
export function findChromium(path = process.env.PATH ?? ""): string | undefined {
  const candidates = path.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Options for {@link provideChromium}. */
export interface ProvideOptions {
  find?: () => string | undefined;
  /** Default: with apt, as root. */
  install?: () => Promise<void>;
  /** Throw if there is none: skipped tests must not pass for a full run. Default: whether the variable is set. */
  required?: boolean;
}

/**
 * Returns the path of a Chromium, and installs one if it can. Returns `undefined` if there is none.
 *
 * @throws {Error} if there is none and `KINDLING_TEST_REQUIRE_CHROMIUM` is set
 */
export async function provideChromium({
  find = findChromium,
  install = async () => {
    if (canInstallFromApt()) await installFromApt("chromium", "fonts-dejavu-core");
  },
  required = Boolean(process.env.KINDLING_TEST_REQUIRE_CHROMIUM),
}: ProvideOptions = {}): Promise<string | undefined> {
  const found = find();
  if (found !== undefined) return found;
  await install();
  const installed = find();
  if (installed !== undefined || !required) return installed;
  throw new Error(
    `No Chromium is on PATH (${NAMES.join(", ")}), and it could not be installed with apt-get: install one, or unset KINDLING_TEST_REQUIRE_CHROMIUM to skip the tests that need it.`,
  );
}

const executablePath = await provideChromium();

/** Describes tests that share one real Chromium. They are skipped if there is none and none can be installed. */
export function describeInChromium(name: string, define: (browser: () => Browser) => void): void {
  describe.skipIf(executablePath === undefined)(`${name}, in Chromium`, { timeout: 60_000 }, () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath: executablePath ?? "", args: ["--no-sandbox"] });
    }, 60_000);
    afterAll(() => browser?.close());
    define(() => browser);
  });
}
