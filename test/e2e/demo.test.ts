import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { tool } from '../../scripts/lib/root.mjs';
import { runNode } from '../../scripts/lib/run.mjs';
import { pgliteFolder } from '../support/pglite.js';
import { temporaryFolder } from '../support/temp.js';

const FOLLOWERS = 40;
const KOREAN = 15;

test('the demo delivers its scenario to its own inbox and says so', { timeout: 90_000 }, async () => {
  const built = await runNode([tool('@nestjs/cli/bin/nest.js'), 'build', 'sample-app']);
  expect(built).toEqual({ code: 0, output: '' });

  const followers = join(temporaryFolder(), 'followers.csv');
  const rows = Array.from({ length: FOLLOWERS }, (_, index) => {
    return `follower${index}@example.com,김 ${index} 🌸,${index < KOREAN ? 'ko' : 'en'}`;
  });
  await writeFile(followers, ['email,name,locale', ...rows].join('\n'));
  const env = {
    FOLLOWERS_FILE: followers,
    QUEUE_URL: `pglite://${dirname(await pgliteFolder())}`,
    SMTP_URL: undefined,
    PORT: undefined,
    WORKER: undefined,
  };
  const { code, output } = await runNode(['sample-app/dist/demo.js', '--once'], { env });

  expect(output).toMatch(/^ {2}Posting +[\d.]+ m?s +answered with 40 mails durably queued$/m);
  const inbox =
    /^ {2}In the inbox +(\d+) +40 to 40 followers, (\d+) resets, 10 of comments, 6 invoices with a PDF, 1 of the next post$/m;
  expect(output).toMatch(inbox);
  const [, all, resets] = inbox.exec(output)!;
  expect(Number(all)).toBe(40 + Number(resets) + 10 + 6 + 1);
  expect(output).toMatch(/^ {2}In Korean +15 /m);
  expect(output).toMatch(/^ {2}Campaign +completed +0 failed$/m);
  expect(output).not.toMatch(/warning|deprecat|\[Nest\]/i);
  expect(code).toBe(0);
});

test(
  'the console demo sends a file, is killed on the way, and goes on with the rest',
  { timeout: 90_000 },
  async () => {
    const env = { RECIPIENTS: '600', QUEUE_URL: `pglite://${dirname(await pgliteFolder())}` };
    const { code, output } = await runNode(['sample-app/dist/demo-console.js'], { env });
    expect(output).toMatch(/^ {2}Arrived in the end +600 +different addresses, in \d+ mails$/m);
    expect(output).toMatch(/^ {2}In the report +600 +rows, 600 of them sent$/m);
    expect(Number(/Arrived before the kill +(\d+)/.exec(output)?.[1])).toBeLessThan(600);
    expect(code).toBe(0);
  },
);
