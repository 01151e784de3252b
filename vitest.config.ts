import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { HangReporter } from './scripts/lib/hang-reporter.mjs';

/** Where whole applications are started and waited for. */
const SLOW = /\/test\/(delivery|e2e|nest|queue|store)\//;

/** Without times of an earlier run vitest goes by size, and a short file that takes a minute would end alone. */
class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => Number(SLOW.test(b.moduleId)) - Number(SLOW.test(a.moduleId)));
  }
}

/** Their files leave nothing behind, so several run in one process, which loads the packages once. */
const TOGETHER = ['bench', 'cli', 'docs', 'feedback', 'message', 'mime', 'nest', 'store', 'templates', 'testing'].map(
  (room) => `test/${room}/**/*.test.ts`,
);

/** Where the results are to be told as JSON. */
const report = process.env.TEST_REPORT;

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'together', include: TOGETHER, isolate: false } },
      {
        extends: true,
        test: { name: 'alone', include: ['test/**/*.test.ts', 'sample-app/test/**/*.test.ts'], exclude: TOGETHER },
      },
    ],
    globalSetup: 'test/support/global-setup.ts',
    setupFiles: 'test/support/setup.ts',
    // A process for each of the other files: tests kill servers, fill heaps and look at what keeps a process alive.
    pool: 'forks',
    // Not by the command line, which would leave out the other ones.
    reporters: [
      'default',
      new HangReporter(),
      ...(report ? [['json', { outputFile: report }] as ['json', object]] : []),
    ],
    // More than a small machine's processors: most files wait for servers and pauses most of the time.
    maxWorkers: 4,
    sequence: { sequencer: SlowFirst },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
  },
});
