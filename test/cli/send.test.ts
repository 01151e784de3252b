import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { MailQueueUnavailableError } from '../../src/errors.js';
import { MailService } from '../../src/nest/mail.service.js';
import { FolderLock } from '../../src/store/pglite/lock.js';
import { pgliteFolder } from '../support/pglite.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';
import { runHere } from './run-here.js';

let smtp: TestSmtpServer;
let cwd: string;
beforeAll(async () => {
  smtp = await startSmtpServer({
    onRcpt: (address) => (address.startsWith('nobody@') ? { code: 550, text: '5.1.1 No such user' } : undefined),
  });
  cwd = configured({ connection: (await startRedis()).url });
});
beforeEach(() => smtp.clear());

function configured(queue: object, more: object = {}): string {
  const folder = temporaryFolder('send');
  const templates = { dir: join(folder, 'mails') };
  const transports = [{ name: 'main', url: smtp.url }];
  const options = { from: 'Shop <shop@shop.test>', transports, queue, templates, defaultLane: 'bulk', ...more };
  writeFileSync(join(folder, 'mail.config.json'), JSON.stringify(options));
  mkdirSync(templates.dir);
  writeFileSync(join(templates.dir, 'welcome.hbs'), '---\nsubject: Welcome, {{name}}\n---\n<p>Hello {{name}}</p>');
  writeFileSync(join(folder, 'letter.html'), '\ufeff<p>Caf\u00e9</p>');
  writeFileSync(join(folder, 'price list.csv'), 'tea,2\n');
  return folder;
}

const sent = (): string => smtp.received.map(({ raw }) => raw.toString()).join('\n');

it('sends at once what the options say, and prints the receipt', async () => {
  const args = [
    'send',
    '--to',
    'ann@x.test',
    'bob@x.test',
    '--to',
    'cem@x.test',
    '--bcc',
    'dee@x.test',
    '--subject',
    'Hi',
  ];
  const files = ['--html-file', 'letter.html', '--text', 'Cafe', '--attach', 'price list.csv'];
  const more = ['--header', 'X-One: 1', '--header', 'X-Two: a: b', '--reply-to', 'Ann <ann@shop.test>'];
  const { code, stdout, stderr } = await runHere([...args, ...files, ...more], { cwd });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(
    /^Sent by main: 250 .*\n {2}to {10}ann@x\.test, bob@x\.test, cem@x\.test, dee@x\.test\n {2}id /,
  );
  expect(smtp.received[0]!.to).toEqual(['ann@x.test', 'bob@x.test', 'cem@x.test', 'dee@x.test']);
  for (const part of ['Subject: Hi', 'X-One: 1', 'X-Two: a: b', 'Reply-To: Ann <ann@shop.test>', '<p>Caf=C3=A9</p>']) {
    expect(sent()).toContain(part);
  }
  expect(sent()).toMatch(/filename="?price list\.csv/);
  expect(sent()).not.toMatch(/dee@x\.test|\ufeff|=EF=BB=BF/);
});

it('takes the text from a pipe, where nothing else says it', async () => {
  const to = ['send', '--to', 'ann@x.test', '--json'];
  expect(await runHere([...to, '--subject', 'Disk'], { cwd, piped: 'It is full.\n' })).toMatchObject({ code: 0 });
  expect(sent()).toContain('It is full.');
  smtp.clear();
  expect(await runHere([...to, '--html-file', '-'], { cwd, piped: '<p>Full</p>' })).toMatchObject({ code: 0 });
  expect(await runHere([...to, '--text', 'Said'], { cwd, piped: 'Not read' })).toMatchObject({ code: 0 });
  expect(sent()).toContain('<p>Full</p>');
  expect(sent()).not.toContain('Not read');
});

it('fails for whoever is refused, and tells who was not', async () => {
  const { code, stdout } = await runHere(['send', '--to', 'ann@x.test', 'nobody@x.test', '--text', 'x'], { cwd });
  expect(code).toBe(1);
  expect(stdout).toMatch(/ to +ann@x\.test\n[^]*refused: nobody@x\.test: 550 5\.1\.1 No such user\n$/);
  const all = await runHere(['send', '--to', 'nobody@x.test', '--text', 'x', '--json'], { cwd });
  expect(all).toMatchObject({ code: 1, stdout: '' });
  expect(JSON.parse(all.stderr)).toMatchObject({ error: { code: 'DELIVERY' } });
});

it('queues on the bulk lane, and sends the same key once', async () => {
  const args = ['send', '--to', 'ann@x.test', '--text', 'x'];
  const queued = await runHere([...args, '--lane', 'bulk'], { cwd });
  expect(queued).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Queued\. A worker of the app/) as string });
  expect(smtp.received).toEqual([]);
  const once = [...args, '--idempotency-key', 'order-1', '--json'];
  const receipts = [await runHere(once, { cwd }), await runHere(once, { cwd })].map(({ stdout }) => stdout);
  expect(receipts[0]).toBe(receipts[1]);
  expect(smtp.received).toHaveLength(1);
});

it('--dry-run shows the mail, rendered, and sends nothing', async () => {
  const args = [
    'send',
    '--to',
    'Ann <ann@x.test>',
    '--template',
    'welcome',
    '--context',
    '{"name":"Ann & Bob"}',
    '--dry-run',
  ];
  const { code, stdout } = await runHere([...args, '--attach', 'letter.html'], { cwd });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Nothing is sent\. The mail:\n {2}From +Shop <shop@shop\.test>\n {2}To +Ann <ann@x\.test>\n/);
  expect(stdout).toMatch(
    /Subject +Welcome, Ann & Bob\n {2}attached {2}letter\.html \(\d+ bytes\)\n\nHello Ann & Bob\n\n<p>/,
  );
  const { stdout: json } = await runHere([...args, '--json'], { cwd });
  expect(JSON.parse(json)).toMatchObject({ dryRun: true, message: { subject: 'Welcome, Ann & Bob', attachments: [] } });
  expect(smtp.received).toEqual([]);
});

it.each([
  [['--to', 'ann', '--text', 'x'], 'to[0]: "ann" is not an address'],
  [['--to', 'ann@x.test', '--html', 'x', '--html-file', 'letter.html'], 'Give either --html or --html-file.'],
  [['--to', 'ann@x.test', '--text-file', 'none.txt'], 'none.txt cannot be read: ENOENT'],
  [['--to', 'ann@x.test', '--text', 'x', '--context', '{"pin":1'], '--context is no object in JSON.'],
  [['--to', 'ann@x.test', '--text', 'x', '--header', 'X-One'], '--header "X-One" is no header.'],
  [['--to', 'ann@x.test', '--text', 'x', '--lane', 'fast'], 'Allowed choices are priority, bulk.'],
  [['--text', 'x'], "required option '--to <address...>' not specified"],
])('%j is the command line’s fault', async (args, message) => {
  const { code, stdout, stderr } = await runHere(['send', ...args], { cwd });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('pin');
  expect(smtp.received).toEqual([]);
});

it('goes without the embedded store that the application holds, unless it needs it', async () => {
  const folder = dirname(await pgliteFolder());
  const held = configured({ connection: `pglite://${folder}` });
  const heeding = configured({ connection: `pglite://${folder}` }, { suppression: { priority: 'hard-bounces' } });
  const lock = await FolderLock.acquire(folder, 0);
  const args = ['send', '--to', 'ann@x.test', '--text', 'x'];
  const [now, ...needing] = await Promise.all([
    runHere(args, { cwd: held }),
    runHere([...args, '--lane', 'bulk'], { cwd: held }),
    runHere([...args, '--idempotency-key', 'order-1'], { cwd: held }),
    runHere(args, { cwd: heeding }),
  ]);
  await lock.release();
  expect(now).toMatchObject({ code: 0, stderr: expect.stringMatching(/^warning: .*in use by process/) as string });
  expect(needing).toMatchObject(Array(3).fill({ code: 4, stdout: '' }));
  expect(smtp.received).toHaveLength(1);
}, 30_000);

it('sends nothing again where the store was lost while it was sent', async () => {
  const losing = vi.spyOn(MailService.prototype, 'send').mockRejectedValueOnce(new MailQueueUnavailableError('Lost'));
  onTestFinished(() => losing.mockRestore());
  const args = ['send', '--to', 'ann@x.test', '--text', 'x', '--subject', 'x'];
  expect(await runHere(args, { cwd })).toMatchObject({ code: 4, stdout: '', stderr: 'error: Lost\n' });
  expect(losing).toHaveBeenCalledOnce();
  expect(smtp.received).toEqual([]);
});

it('--dry-run sends nothing by a transport that is looked up either', async () => {
  const cwd = temporaryFolder('send');
  const config = `{ from: 'shop@shop.test', transports: [{ name: 'main', url: '${smtp.url}' }], queue: false,
    resolveTransport: () => ({ url: '${smtp.url}' }) }`;
  writeFileSync(join(cwd, 'mail.config.mjs'), `export default ${config};`);
  const args = ['send', '--to', 'ann@x.test', '--subject', 'x', '--text', 'Hello', '--transport', 'tenant'];
  const { code, stdout } = await runHere([...args, '--dry-run', '--config', 'mail.config.mjs'], { cwd });
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('Hello') as string });
  expect(smtp.received).toEqual([]);
  expect(await runHere([...args, '--config', 'mail.config.mjs'], { cwd })).toMatchObject({ code: 0 });
  expect(smtp.received).toHaveLength(1);
});

it('--dry-run asks for transports', async () => {
  const cwd = temporaryFolder('send');
  writeFileSync(join(cwd, 'mail.config.json'), JSON.stringify({ from: 'shop@shop.test' }));
  const args = ['send', '--to', 'ann@x.test', '--subject', 'x', '--text', 'x', '--dry-run'];
  expect(await runHere(args, { cwd })).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('transports') as string,
  });
});
