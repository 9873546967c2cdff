import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take more than ten seconds, most of them waiting for another process. */
const long =
  /\/test\/(campaign|client\/cache-schedules|dashboard|demo|examples|ops\/prometheus|adapters|docs\/code-blocks|cli\/(verify|services|reprocess|emulator)|faults\/(worker-killed|redis-lost)|refresh\/fan-out-room|emulator\/sdk|end-to-end\/(backfill|sweep|walks))\b/;

/** Starts long files first, so that no worker is left alone with one at the end. */
export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => long.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
