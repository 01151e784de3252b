import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { startRedis } from '../support/redis.js';
import { temporaryFolder } from '../support/temp.js';
import { runHere, type Finished } from './run-here.js';

let cwd: string;
beforeAll(async () => {
  cwd = temporaryFolder('suppress');
  const transports = [{ name: 'main', url: 'smtp://127.0.0.1:1' }];
  const queue = { connection: (await startRedis()).url };
  writeFileSync(join(cwd, 'mail.config.json'), JSON.stringify({ from: 'shop@shop.test', transports, queue }));
});

const suppress = (...args: string[]): Promise<Finished> => runHere(['suppress', ...args], { cwd });
const done = (stdout: string): object => ({ code: 0, stdout, stderr: '' });

it('adds addresses, tells what is known of them, and takes them off', async () => {
  expect(await suppress('ann@x.test', 'bob@x.test', '--note', 'by phone')).toEqual(
    done('ann@x.test is suppressed.\nbob@x.test is suppressed.\n'),
  );
  expect(await suppress('ann@x.test', '--reason', 'unsubscribed', '--scope', 'list:news')).toMatchObject({ code: 0 });
  const { code, stdout } = await suppress('--check', 'ANN@x.test', 'cem@x.test', '--json');
  expect(code).toBe(0);
  const { suppressions } = JSON.parse(stdout) as { suppressions: { scope: string }[] };
  expect(suppressions.sort((a, b) => a.scope.localeCompare(b.scope))).toMatchObject([
    { address: 'ann@x.test', scope: 'all', reason: 'manual', note: 'by phone' },
    { address: 'ann@x.test', scope: 'list:news', reason: 'unsubscribed' },
  ]);
  expect((await suppress('--check', 'bob@x.test')).stdout).toMatch(
    /^address +scope +reason +since +note\nbob@x\.test +all +manual +20.* UTC +by phone\n$/,
  );
  expect(await suppress('--check', 'cem@x.test')).toEqual({ code: 1, stdout: 'Not suppressed.\n', stderr: '' });

  expect(await suppress('--remove', 'ann@x.test')).toEqual(
    done('ann@x.test is still suppressed: unsubscribed (list:news).\n'),
  );
  expect((await suppress('--list')).stdout.split('\n').sort()).toEqual([
    '',
    expect.stringMatching(/^ann@x\.test +list:news +unsubscribed/) as string,
    expect.stringMatching(/^bob@x\.test/) as string,
  ]);
  expect(await suppress('--remove', 'ann@x.test')).toMatchObject({ code: 1 });
  expect(await suppress('--remove', 'ann@x.test', '--reason', 'unsubscribed')).toEqual(
    done('ann@x.test gets mail again.\n'),
  );
  expect(await suppress('--remove', 'bob@x.test', '--scope', 'all')).toMatchObject({ code: 0 });
  expect(await suppress('--remove', 'bob@x.test')).toMatchObject({
    code: 1,
    stdout: 'bob@x.test was not suppressed.\n',
  });
});

it('reads a CSV file, and writes the list as one', async () => {
  writeFileSync(join(cwd, 'bounces.csv'), 'email,note\ndee@x.test,gone\nnobody\neve@x.test,\n');
  const { code, stdout } = await suppress('--import', 'bounces.csv', '--reason', 'hard-bounce');
  expect(code).toBe(1);
  expect(stdout).toMatch(/^line 3: .*"nobody" is not an address\n2 rows are in the list, 1 are not\.\n$/);
  writeFileSync(join(cwd, 'list.csv'), 'of last week', { mode: 0o644 });
  expect(await suppress('--export', 'list.csv')).toMatchObject({ code: 0 });
  expect(statSync(join(cwd, 'list.csv')).mode & 0o777).toBe(0o600);
  expect(await suppress('--export', '.')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('folder') as string,
  });
  const rows = readFileSync(join(cwd, 'list.csv'), 'utf8').trim().split('\r\n');
  expect([rows[0], ...rows.slice(1).sort()]).toEqual([
    'address,scope,reason,since,note',
    expect.stringMatching(/^dee@x\.test,all,hard-bounce,20.*,gone$/) as string,
    expect.stringMatching(/^eve@x\.test,all,hard-bounce,20.*,$/) as string,
  ]);
  expect((await suppress('--export')).stdout.split('\r\n')).toHaveLength(4);
});

it.each([
  [[], 'Give addresses, or one of --remove'],
  [['ann@x.test', '--list'], 'Give addresses, or one of --remove'],
  [['ann'], '"ann" is not an address'],
  [['ann@x.test', '--scope', 'some'], '"some" is none of all, bulk and list:<name>'],
  [['ann@x.test', '--reason', 'bored'], 'Allowed choices are hard-bounce'],
  [['--import', 'none.csv'], 'none.csv'],
])('%j is the command line’s fault', async (args, message) => {
  const { code, stdout, stderr } = await suppress(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(message);
});
