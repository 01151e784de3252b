import { linkSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { parse } from 'csv-parse/sync';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { writeReport } from '../../src/cli/bulk/report-file.js';
import { TimeLimit } from '../../src/cli/bulk/time-limit.js';
import { MailError } from '../../src/errors.js';
import type { BulkMailInput } from '../../src/message/message.js';
import { MailService } from '../../src/nest/mail.service.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';
import { runHere } from './run-here.js';

let smtp: TestSmtpServer;
let connection: string;
let refusal: (address: string) => Refusal | undefined;
beforeAll(async () => {
  smtp = await startSmtpServer({ onRcpt: (address) => refusal(address) });
  connection = (await startRedis()).url;
});
beforeEach(() => {
  smtp.clear();
  refusal = () => undefined;
});

let names = 0;
/** A folder with a configuration and a file of recipients; a mailer of its own. */
function configured(csv: string, { queue, ...options }: { queue?: object; unsubscribe?: object } = {}): string {
  const cwd = temporaryFolder('bulk');
  const config = {
    name: `bulk${names++}`,
    from: 'Shop <shop@shop.test>',
    transports: [{ name: 'main', url: smtp.url }],
    queue: { connection, retry: { firstPause: '1h' }, ...queue },
    attachments: { store: pathToFileURL(join(cwd, 'attachments')).href },
    ...options,
  };
  writeFileSync(join(cwd, 'mail.config.json'), JSON.stringify(config));
  writeFileSync(join(cwd, 'people.csv'), csv);
  return cwd;
}

const people = (count: number): string =>
  `email,name,code\n${Array.from({ length: count }, (_, n) => `p${n}@x.test,Person ${n},c${n}\n`).join('')}`;
const MESSAGE = ['bulk', 'people.csv', '--subject', 'For {{name}}', '--text', 'Your code: {{code}}'];
const arrived = (): string[] => smtp.received.flatMap(({ to }) => to).sort();
const reportIn = (cwd: string): Record<string, string>[] =>
  parse(readFileSync(join(cwd, 'out.csv'), 'utf8'), { columns: true });

it('sends everybody their own mail, reports each, and does nothing when it is asked again', async () => {
  const csv =
    'email;name;code\np0@x.test;Zoë;a;b\np1@x.test;Ann;c1\nnobody@x.test;Bob;c2\nP1@X.test;;c3\nx;;\np4@x.test;;c4\n';
  const cwd = configured(csv);
  refusal = (address) => (address.startsWith('nobody') ? { code: 550, text: '5.1.1 No such user' } : undefined);
  const args = [...MESSAGE, '--name', 'Codes', '--report', 'out.csv'];
  const { code, stdout, stderr } = await runHere(args, { cwd });
  expect(stderr).toMatch(/^line 2: p0@x\.test: has 4 cells, the heading has 3\nline 6: "x" is not an address\n/);
  expect(stdout).toMatch(
    /^Campaign bulk-[0-9a-f]{24} \(Codes\): completed\n {2}recipients {2}4\n {2}sent +3 \(75 %\)\n/,
  );
  expect(stdout).toMatch(/\nreport: 6 recipients written to .*out\.csv\nAll are served\.\n$/);
  expect(code).toBe(1);
  expect(arrived()).toEqual(['P1@x.test', 'p1@x.test', 'p4@x.test']);
  const mail = smtp.received.find(({ to }) => to[0] === 'p1@x.test')!.raw.toString();
  expect(mail).toMatch(/To: Ann <p1@x\.test>/);
  expect(mail).toMatch(/Subject: For Ann\r\n[^]*Your code:=20c1/);
  const rows = reportIn(cwd);
  expect(rows.map(({ address, state, reply }) => [address, state, reply])).toEqual([
    ['p1@x.test', 'sent', expect.stringMatching(/^250 /) as string],
    ['nobody@x.test', 'failed', '550 5.1.1 No such user'],
    ['P1@X.test', 'sent', expect.stringMatching(/^250 /) as string],
    ['p4@x.test', 'sent', expect.stringMatching(/^250 /) as string],
    ['p0@x.test', 'invalid', 'line 2: has 4 cells, the heading has 3'],
    ['x', 'invalid', 'line 6: "x" is not an address'],
  ]);
  expect(rows[0]).toMatchObject({ id: expect.stringMatching(/^bulk-/) as string, attempts: '1' });

  writeFileSync(join(cwd, 'out.csv'), 'lost');
  const again = await runHere(args, { cwd });
  expect(again).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('completed before: nothing was sent now') as string,
  });
  expect(reportIn(cwd)).toEqual(rows);
  expect(smtp.received).toHaveLength(3);
  expect(readdirSync(cwd).sort()).toEqual(['mail.config.json', 'out.csv', 'people.csv']);
});

it('leaves out who has left the list, and lets the others do so', async () => {
  const unsubscribe = { secret: 'x'.repeat(32), url: 'https://shop.test/unsubscribe' };
  const cwd = configured(people(3), { unsubscribe });
  await runHere(['suppress', 'p1@x.test', '--scope', 'list:news', '--reason', 'unsubscribed'], { cwd });
  const args = ['bulk', 'people.csv', '--subject', 'News', '--text', 'Leave: {{unsubscribeUrl}}', '--list', 'news'];
  const { code, stdout } = await runHere([...args, '--unsubscribe', '--report', 'out.csv'], { cwd });
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/ sent +2 [^]*suppressed +1\n/) as string,
  });
  expect(arrived()).toEqual(['p0@x.test', 'p2@x.test']);
  const raw = smtp.received[0]!.raw.toString();
  expect(raw).toMatch(/^List-Unsubscribe-Post: List-Unsubscribe=One-Click\r$/m);
  expect(raw).toMatch(/^List-Id: .*news/im);
  expect(raw).toMatch(/^List-Unsubscribe: <https:\/\/shop\.test\/unsubscribe\?token=/m);
  expect(raw).toMatch(/Leave:[ =]+[^]*https:\/\/shop\.test\/unsubscribe\?token=3D/);
  expect(reportIn(cwd)[1]).toMatchObject({ state: 'cancelled', reply: expect.stringMatching(/suppressed/i) as string });
  const shown = await runHere([...args, '--unsubscribe', '--dry-run'], { cwd });
  expect(shown).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Leave: https://unsubscribe.invalid/') as string,
    stderr: '',
  });
  const without = [...args.slice(0, 5), 'News', '--list', 'news', '--dry-run'];
  expect((await runHere(without, { cwd })).stderr).toContain('warning: readers cannot unsubscribe from this mail');
});

it('is another campaign with another message or file, unless --id says so', async () => {
  const cwd = configured(people(2));
  const send = async (args: string[]): Promise<{ id: string; code: number; stderr: string }> => {
    const { code, stdout, stderr } = await runHere([...args, '--queue-only', '--json'], { cwd });
    return { id: stdout && (JSON.parse(stdout) as { id: string }).id, code, stderr };
  };
  writeFileSync(join(cwd, 'terms.txt'), 'one');
  const attached = [...MESSAGE, '--attach', 'terms.txt'];
  const ids = [await send(MESSAGE), await send([...MESSAGE, '--from', 'a@shop.test']), await send(attached)];
  writeFileSync(join(cwd, 'terms.txt'), 'two');
  ids.push(await send(attached));
  writeFileSync(join(cwd, 'people.csv'), people(3));
  ids.push(await send(MESSAGE));
  expect(ids).toMatchObject(Array(5).fill({ code: 0 }));
  expect(new Set(ids.map(({ id }) => id)).size).toBe(5);
  expect(await send([...MESSAGE, '--id', 'spring'])).toMatchObject({ id: 'spring', code: 0 });
  expect(await send([...MESSAGE, '--id', 'spring', '--subject', 'Other'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('belongs to a campaign with another message') as string,
  });
  expect(smtp.received).toEqual([]);
});

it('goes on with a campaign that stands still, and says what it waits for when its time is over', async () => {
  const cwd = configured(people(5));
  refusal = (address) => (address === 'p3@x.test' ? { code: 450, text: '4.2.1 Later' } : undefined);
  const args = [...MESSAGE, '--id', 'spring', '--report', 'out.csv'];
  await runHere([...args, '--queue-only'], { cwd });
  await runHere(['pause', 'spring'], { cwd });
  const paused = await runHere([...args, '--json'], { cwd });
  expect(paused).toMatchObject({ code: 6, stderr: '' });
  expect(JSON.parse(paused.stdout)).toMatchObject({ state: 'paused', queued: 5, rows: { recipients: 5, invalid: 0 } });
  await runHere(['resume', 'spring'], { cwd });

  // However long it took to come so far.
  const left = vi.spyOn(TimeLimit.prototype, 'left', 'get').mockReturnValue(1_000);
  onTestFinished(() => left.mockRestore());
  const { code, stdout } = await runHere([...args, '--max-time', '1m'], { cwd });
  expect(code).toBe(6);
  expect(stdout).toMatch(/The time is over\. The same command again goes on with those who are not served yet\.\n$/);
  expect(reportIn(cwd).map(({ state }) => state)).toEqual(['sent', 'sent', 'sent', 'deferred', 'sent']);
  await runHere(['cancel', 'spring'], { cwd });
  expect(await runHere(args, { cwd })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('was cancelled') as string,
  });
});

it('goes on with a campaign that was suspended while its server was away', async () => {
  const cwd = configured(people(2), { queue: { waitForCapacity: '500ms' } });
  await smtp.stop();
  const { code, stdout } = await runHere(MESSAGE, { cwd });
  await smtp.resume();
  expect(code).toBe(6);
  expect(stdout).toMatch(/It stands still: .*The same command again goes on/);
  expect(await runHere(MESSAGE, { cwd })).toMatchObject({ code: 0 });
  expect(arrived()).toEqual(['p0@x.test', 'p1@x.test']);
});

it('writes no report over one that knows more', async () => {
  const file = join(temporaryFolder('bulk'), 'out.csv');
  const nobody = Readable.from([]);
  const written = await writeReport(file, { messages: nobody, total: 2, invalid: nobody });
  expect(written).toEqual({ file, recipients: 0, missing: 2 });
  expect(readFileSync(file, 'utf8')).toMatch(/^address,.*\r\n$/);
  writeFileSync(file, 'All of them');
  await writeReport(file, { messages: nobody, total: 2, invalid: nobody });
  expect(readFileSync(file, 'utf8')).toBe('All of them');
  expect(readdirSync(dirname(file))).toEqual(['out.csv']);
});

describe('in a terminal', () => {
  it('asks before a campaign begins, and only then; shows how far it is', async () => {
    const cwd = configured(people(3));
    const no = await runHere(MESSAGE, { cwd, answer: 'n' });
    expect(no).toMatchObject({ code: 1, stdout: '' });
    expect(no.stderr).toContain('Send "For {{name}}" to the 3 recipients of people.csv? [y/N] ');
    expect(smtp.received).toEqual([]);
    const yes = await runHere(MESSAGE, { cwd, answer: 'y' });
    expect(yes.code).toBe(0);
    expect(yes.stderr).toContain('] 100 %: 3 sent, 0 failed, 0 remaining');
    expect((await runHere(MESSAGE, { cwd, answer: '' })).stderr).not.toContain('[y/N]');
    const other = [...MESSAGE, '--from', 'other@shop.test', '--yes'];
    expect(await runHere(other, { cwd, answer: '' })).toMatchObject({ code: 0 });
  });
});

it('--dry-run checks the file and shows the first mail', async () => {
  const cwd = configured(people(3), { queue: { connection: 'redis://127.0.0.1:1' } });
  const { code, stdout } = await runHere([...MESSAGE, '--header', 'X-Code: {{code}}', '--dry-run'], { cwd });
  expect(code).toBe(0);
  expect(stdout).toMatch(/To +Person 0 <p0@x\.test>\n {2}Subject +For Person 0\n {2}X-Code +c0\n\nYour code: c0\n/);
  expect(stdout).toMatch(/Campaign bulk-[0-9a-f]{24}: 3 recipients, 0 invalid rows\.\n$/);
  const missing = await runHere(['bulk', 'people.csv', '--text', '{{town}}', '--dry-run'], { cwd });
  expect(missing).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('{{town}} is no column of people.csv') as string,
  });
  writeFileSync(join(cwd, 'people.csv'), 'email,name,code\na@x.test,A,\u001b[2Jx\u009b\n');
  expect((await runHere([...MESSAGE, '--dry-run'], { cwd })).stdout).toContain('Your code:  [2Jx\n');
});

it('reads the file once more where it lost the right to queue it, and says what the file repeats', async () => {
  const cwd = configured(`${people(4)}p1@x.test,Again,c9\np2@X.test,Again,c9\n`);
  const losing = vi.spyOn(MailService.prototype, 'sendBulk').mockImplementationOnce(async (input) => {
    for await (const recipient of (input as BulkMailInput).recipients) if (recipient) break;
    throw new MailError('It stood still', { permanent: false, code: 'CAMPAIGN_LOST' });
  });
  onTestFinished(() => losing.mockRestore());
  const { code, stdout, stderr } = await runHere([...MESSAGE, '--json'], { cwd });
  expect(code).toBe(0);
  expect(stderr).toBe('It stood still Waiting for that.\n');
  expect(JSON.parse(stdout)).toMatchObject({ total: 4, sent: 4, rows: { recipients: 4, duplicates: 2, invalid: 0 } });
  expect(arrived()).toEqual(['p0@x.test', 'p1@x.test', 'p2@x.test', 'p3@x.test']);
  expect((await runHere([...MESSAGE, '--dry-run'], { cwd })).stderr).toContain('2 rows repeat an address');
});

it('queues no more than it could when --max-time is over, and ends with 6', async () => {
  const cwd = configured(people(3));
  const queueing = vi
    .spyOn(MailService.prototype, 'sendBulk')
    .mockImplementationOnce(async ({ signal }: { signal?: AbortSignal }) => {
      await new Promise((resolve) => signal!.addEventListener('abort', resolve));
      throw new MailError('It was aborted', { permanent: false, code: 'ABORTED' });
    });
  onTestFinished(() => queueing.mockRestore());
  const over = await runHere([...MESSAGE, '--queue-only', '--max-time', '500ms'], { cwd });
  expect(over).toMatchObject({ code: 6, stdout: '', stderr: expect.stringContaining('The time was over') as string });
});

it.each([
  ['email,name,code\nx,,\n', [], 'people.csv has nobody who could be served.'],
  ['email\na@x.test\n', ['--report', 'none/out.csv'], 'none/out.csv cannot be written: ENOENT'],
  ['email\na@x.test\n', ['--template', 'welcome'], 'template'],
  ['email,name,code\na@x.test,A,1\n', ['--report', 'people.csv'], 'The report would replace the recipients'],
  ['email,name,code\na@x.test,A,1\n', ['--report', 'same.csv'], 'The report would replace the recipients'],
  ['email,name,code\na@x.test,A,1\n', ['--report', '.'], 'it is a folder'],
  ['email,Name,code\na@x.test,A,1\n', [], '{{name}} is no column of people.csv. Write {{Name}}.'],
  [
    'email,name,Promo code\na@x.test,A,1\n',
    ['--text', '{{ Promo code }}'],
    'call the column "Promo code" Promo_code in the heading, and write {{Promo_code}}.',
  ],
  ['email,name,a.b\na@x.test,A,1\n', ['--text', '{{a.b}}'], 'call the column "a.b" a_b'],
  ['email,name\na@x.test,A\n', ['--text', '{{unsubscribeUrl}}'], '{{unsubscribeUrl}} is no column of people.csv'],
])('refuses %j with %j before anything is sent', async (csv, args, message) => {
  const cwd = configured(csv);
  linkSync(join(cwd, 'people.csv'), join(cwd, 'same.csv'));
  const { code, stdout, stderr } = await runHere([...MESSAGE, ...args], { cwd });
  expect({ code, stdout }).toEqual({ code: expect.toBeOneOf([2, 3]) as number, stdout: '' });
  expect(stderr).toContain(message);
  expect(smtp.received).toEqual([]);
});
