import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'csv-parse/sync';
import { beforeAll, expect, it } from 'vitest';
import { buildIfStale } from '../../scripts/lib/build.mjs';
import { root } from '../../scripts/lib/root.mjs';
import { startMail } from '../support/app.js';
import { spawnTs } from '../support/child.js';
import { eventually } from '../support/eventually.js';
import { Listener } from '../support/listener.js';
import { pgliteFolder } from '../support/pglite.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';
import { runHere } from './run-here.js';

const COMMAND = join(root, 'dist', 'cli', 'main.js');

beforeAll(buildIfStale, 60_000);

/** A configuration file. */
function config(options: object, name = 'mail.config.json'): { cwd: string; file: string } {
  const cwd = temporaryFolder('command');
  const file = join(cwd, name);
  const all = { from: 'Shop <shop@shop.test>', transports: [], ...options };
  const code = name.endsWith('.json')
    ? ''
    : "import type { MailModuleRootOptions } from 'nestjs-priority-mail';\nexport default ";
  writeFileSync(file, `${code}${JSON.stringify(all)}${code && ' satisfies MailModuleRootOptions;'}`);
  return { cwd, file };
}

it('worker ends in order at SIGTERM: what was begun is finished and recorded, the rest waits', async () => {
  const smtp = await startSmtpServer({ delay: 20 });
  const queue = { connection: (await startRedis()).url };
  const { cwd, file } = config({ transports: [{ name: 'main', url: smtp.url }], queue });
  const { mail } = await startMail({ smtp: smtp.url, queue: { ...queue, worker: false } });
  const recipients = Array.from({ length: 5_000 }, (_, n) => ({ to: `p${n}@readers.test` }));
  await mail.sendBulk({ id: 'issue-1', subject: 'x', text: 'x', recipients });

  const worker = spawnTs(COMMAND, ['worker', '--config', file]);
  await worker.line(/^Delivering bulk mail until SIGTERM or Ctrl-C\.$/, 60_000);
  await eventually(() => smtp.received.length > 20, { within: 20_000 });
  await worker.kill('SIGTERM');
  expect(await worker.exit).toEqual({ code: 0, signal: null });
  expect(worker.lines).toEqual(['Delivering bulk mail until SIGTERM or Ctrl-C.', 'Stopped.']);

  const { stdout } = await runHere(['campaign', 'issue-1', '--json'], { cwd });
  const { sent, queued } = JSON.parse(stdout) as { sent: number; queued: number };
  expect({ sent, queued }).toEqual({ sent: smtp.received.length, queued: 5_000 - smtp.received.length });
  expect(queued).toBeGreaterThan(0);
  expect((await mail.queue()).batches.active).toBe(0);
}, 90_000);

it('bulk goes on after kill -9 and Ctrl-C with exactly those who are not served yet, and reports all of them', async () => {
  const smtp = await startSmtpServer({ delay: 2 });
  const { cwd, file } = config({
    transports: [{ name: 'main', url: smtp.url, maxConnections: 10 }],
    queue: { connection: `pglite://${dirname(await pgliteFolder())}` },
  });
  const [csv, out] = [join(cwd, 'people.csv'), join(cwd, 'out.csv')];
  const people = Array.from({ length: 2_000 }, (_, n) => `p${n}@readers.test`);
  writeFileSync(csv, `email\n${people.join('\n')}\n`);
  const args = ['bulk', csv, '--subject', 'x', '--text', 'x', '--config', file, '--report', out];
  const arrivals = (): string[] => smtp.received.map(({ to }) => to[0]!);

  const first = spawnTs(COMMAND, args);
  await eventually(() => smtp.received.length > 300, { within: 30_000 });
  await first.kill('SIGKILL');
  const resent = (): number => arrivals().length - new Set(arrivals()).size;
  const before = smtp.received.length;
  expect(before).toBeLessThan(2_000);

  const second = spawnTs(COMMAND, args);
  await eventually(() => smtp.received.length > before + 200, { within: 30_000 });
  await second.kill('SIGINT');
  expect(await second.exit).toEqual({ code: 130, signal: null });
  expect(second.lines.at(-1)).toBe('Interrupted. The same command again goes on with those who are not served yet.');
  const served = (): string[] =>
    parse<Record<string, string>>(readFileSync(out, 'utf8'), { columns: true })
      .filter(({ state }) => state === 'sent')
      .map(({ address }) => address!);
  // What was accepted right before the kill may not have been recorded (promise 3); after Ctrl-C all of it is.
  expect(served()).toHaveLength(new Set(arrivals()).size);
  const twice = resent();
  expect(twice).toBeLessThan(200);

  const third = spawnTs(COMMAND, [...args, '--json']);
  expect(await third.exit).toEqual({ code: 0, signal: null });
  expect(JSON.parse(third.lines.join(''))).toMatchObject({ state: 'completed', total: 2_000, sent: 2_000 });
  expect(new Set(arrivals())).toEqual(new Set(people));
  expect(resent()).toBe(twice);
  expect(served()).toEqual(people);
}, 90_000);

it('another command that a signal interrupts closes what it has open, and ends with 128 and the signal', async () => {
  // Says nothing, so that a client waits for its greeting.
  const silent = createServer();
  const { port } = await Listener.open(silent);
  const connected = once(silent, 'connection');
  const { file } = config({ transports: [{ name: 'main', url: `smtp://127.0.0.1:${port}` }] });
  const verify = spawnTs(COMMAND, ['verify', '--config', file]);
  await connected;
  await verify.kill('SIGINT');
  expect(await verify.exit).toEqual({ code: 130, signal: null });
  expect(verify.lines).toEqual(['error: Interrupted by SIGINT.']);
}, 60_000);

it('takes a configuration in TypeScript, and writes the answer to standard output alone', async () => {
  const smtp = await startSmtpServer();
  const { cwd } = config({ transports: [{ name: 'main', url: smtp.url }] }, 'mail.config.ts');
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [COMMAND, 'verify', '--json'], { cwd });
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, transports: [{ name: 'main' }] });
  expect(stderr).toBe('');
}, 60_000);
