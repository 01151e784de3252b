import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { parse } from 'csv-parse/sync';
import { beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../src/cli/run.js';
import { FolderLock } from '../../src/store/pglite/lock.js';
import { startMail } from '../support/app.js';
import { freePort } from '../support/free-port.js';
import { pgliteFolder } from '../support/pglite.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';
import { Collector } from './collector.js';
import { runHere, type Finished } from './run-here.js';

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
/** They are given up at once, and put off for long. */
const REFUSALS: Record<string, { code: number; text: string }> = {
  'p1@readers.test': { code: 550, text: '5.1.1 No "such" user' },
  'p2@readers.test': { code: 450, text: '4.2.1 Later' },
};

let smtp: TestSmtpServer;
let refusals = REFUSALS;
beforeAll(async () => {
  smtp = await startSmtpServer({ onRcpt: (address) => refusals[address] });
});

/** A folder with a configuration. */
function configured(options: object): string {
  const folder = temporaryFolder('command');
  const config = { from: 'Shop <shop@shop.test>', transports: [{ name: 'main', url: smtp.url }], ...options };
  writeFileSync(join(folder, 'mail.config.json'), JSON.stringify(config));
  return folder;
}

async function json<T = unknown>(args: string[], cwd: string): Promise<T> {
  const finished = await runHere([...args, '--json'], { cwd });
  expect(finished).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(finished.stdout) as T;
}

const text = async (args: string[], cwd: string): Promise<string> => {
  const finished = await runHere(args, { cwd });
  expect(finished).toMatchObject({ code: 0, stderr: '' });
  return finished.stdout;
};

const epipe = (): Error => Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });

describe('of a mailer on Redis', () => {
  let cwd: string;

  beforeAll(async () => {
    refusals = REFUSALS;
    const queue = {
      connection: (await startRedis()).url,
      worker: { autorun: false },
      retry: { firstPause: '1h' },
    } as const;
    cwd = configured({ queue });
    const app = await startMail({ smtp: smtp.url, queue });
    const recipients = Array.from({ length: 6 }, (_, n) => ({ to: `p${n}@readers.test` }));
    await app.mail.sendBulk({ id: 'issue-1', name: 'Newsletter', subject: 'x', text: 'x', recipients });
    await app.mail.sendBulk({ id: 'issue-2', subject: 'x', text: 'x', recipients });
    await app.mail.sendBulk({ id: 'issue-3', subject: 'x', text: 'x', recipients: [{ to: 'p1@readers.test' }] });
    await app.close();
  });

  it('status tells what waits in the queue', async () => {
    expect(await json(['status'], cwd)).toEqual({
      queue: {
        paused: false,
        batches: { waiting: 3, delayed: 0, active: 0, finished: 0, setAside: 0 },
        oldestWaiting: expect.stringMatching(ISO) as string,
      },
      transports: [{ name: 'main', rank: { priority: 1, bulk: 1 } }],
    });
    expect(await text(['status'], cwd)).toMatch(
      /^The queue is open\. Batches:\n {2}waiting {4}3, the oldest for \d+ s\n {2}delayed {4}0\n[^]*\ntransport +rank +region\nmain +priority 1, bulk 1\n$/,
    );
  });

  it('pause and resume hold the bulk lane or one campaign', async () => {
    expect(await text(['pause'], cwd)).toMatch(/^The bulk lane is paused\./);
    expect(await json(['status'], cwd)).toMatchObject({ queue: { paused: true } });
    expect(await json(['resume'], cwd)).toEqual({ paused: false });
    expect(await json(['pause', 'issue-2'], cwd)).toEqual({ campaign: 'issue-2', paused: true });
    expect(await json(['campaign', 'issue-2'], cwd)).toMatchObject({ state: 'paused' });
    expect(await text(['resume', 'issue-2'], cwd)).toBe('The campaign issue-2 goes on.\n');
    expect(await json(['campaign', 'issue-2'], cwd)).toMatchObject({ state: 'running', queued: 6 });
  });

  it('cancel stops a message or a campaign, and fails where nothing is left to be stopped', async () => {
    expect(await json(['cancel', 'issue-1-0.5'], cwd)).toEqual({ id: 'issue-1-0.5', cancelled: true });
    expect(await text(['cancel', 'issue-2'], cwd)).toBe('issue-2 is cancelled.\n');
    expect(await runHere(['cancel', 'issue-2'], { cwd })).toEqual({
      code: 1,
      stdout: 'Nothing of issue-2 was left to be stopped.\n',
      stderr: '',
    });
  });

  it('worker --until-empty delivers what is due, and says what it did', async () => {
    expect(await json(['worker', '--until-empty', '--max-time', '30s', '--batches', '1'], cwd)).toMatchObject({
      reason: 'empty',
      sent: 3,
      failed: 2,
      deferred: 1,
    });
    expect(smtp.received.map(({ to }) => to[0]).sort()).toEqual([
      'p0@readers.test',
      'p3@readers.test',
      'p4@readers.test',
    ]);
    expect(await text(['worker', '--until-empty'], cwd)).toBe(
      'Nothing is due any more: 0 sent, 0 failed, 0 deferred in 0 batches.\n',
    );
  });

  it('campaign tells how it is doing', async () => {
    expect(await json(['campaign', 'issue-1'], cwd)).toMatchObject({
      ...{
        id: 'issue-1',
        name: 'Newsletter',
        state: 'running',
        total: 6,
        sent: 3,
        failed: 1,
        deferred: 1,
        cancelled: 1,
      },
      startedAt: expect.stringMatching(ISO) as string,
      lastError: expect.stringContaining('No "such" user') as string,
    });
    const lines = (await text(['campaign', 'issue-1'], cwd)).split('\n');
    expect(lines[0]).toBe('Campaign issue-1 (Newsletter): running');
    expect(lines).toEqual(expect.arrayContaining(['  sent        3 (50 %)', '  failed      1']));
  });

  it('campaign writes its recipients as CSV', async () => {
    const [failures, remaining] = [join(cwd, 'failures.csv'), join(cwd, 'remaining.csv')];
    const rows = (csv: string): unknown => parse(csv, { columns: true });
    const failed = {
      ...{ address: 'p1@readers.test', id: 'issue-1-0.1', state: 'failed', reply: '550 5.1.1 No "such" user' },
      ...{ attempts: '1', at: expect.stringMatching(ISO) as string },
    };
    const deferred = {
      ...{ address: 'p2@readers.test', id: 'issue-1-0.2', state: 'deferred', reply: '450 4.2.1 Later' },
      ...{ attempts: '1', at: expect.stringMatching(ISO) as string },
    };
    const args = ['campaign', 'issue-1', '--failures', failures, '--remaining', remaining];
    expect(await json(args, cwd)).toMatchObject({
      state: 'running',
      written: { failures: { file: failures, recipients: 1 }, remaining: { file: remaining, recipients: 1 } },
    });
    expect(rows(readFileSync(failures, 'utf8'))).toEqual([failed]);
    expect(rows(readFileSync(remaining, 'utf8'))).toEqual([deferred]);
    expect(await text(args, cwd)).toContain(`\nremaining: 1 recipients written to ${remaining}\n`);

    expect(rows(await text(['campaign', 'issue-1', '--failures'], cwd))).toEqual([failed]);
    expect(rows(await text(['campaign', 'issue-1', '--remaining', '-'], cwd))).toEqual([deferred]);
    expect(await json(['campaign', 'issue-1', '--remaining'], cwd)).toMatchObject({
      id: 'issue-1-0.2',
      recipients: [{ address: 'p2@readers.test', replyCode: 450 }],
    });
  });

  it('a list of which the reader has seen enough is no failure', async () => {
    const [stdout, stderr] = [new Writable({ write: (_, __, done) => done(epipe()) }), new Collector()];
    const surroundings = { stdout, stderr, cwd: () => cwd, env: {} };
    expect(await run(['campaign', 'issue-1', '--failures'], surroundings)).toBe(0);
    expect(stderr.text).toBe('');
  });

  it('status tells where one message is', async () => {
    expect(await json(['status', 'issue-1-0.2'], cwd)).toMatchObject({
      ...{ id: 'issue-1-0.2', state: 'deferred', campaignId: 'issue-1', transport: 'main', replyCode: 450 },
      nextAttemptAt: expect.stringMatching(ISO) as string,
    });
    expect(await text(['status', 'issue-1-0.2'], cwd)).toMatch(
      /^Message issue-1-0\.2: deferred\n[^]*\nrecipient .*\np2@readers\.test +deferred +1 .* main +450 4\.2\.1 Later\n$/,
    );
  });

  it('retry sends what failed again', async () => {
    refusals = {};
    smtp.clear();
    expect(await json(['retry', 'issue-3'], cwd)).toEqual({ campaign: 'issue-3', retried: 1 });
    expect(await json(['worker', '--until-empty'], cwd)).toMatchObject({ sent: 1 });
    expect(smtp.received.map(({ to }) => to)).toEqual([['p1@readers.test']]);
    expect(await text(['retry', 'issue-3'], cwd)).toBe(
      'Nothing of the campaign issue-3 can be sent again: it is completed, and nothing has failed.\n',
    );
  });

  it.each([
    ['status', 'issue-9-0.1'],
    ['campaign', 'issue-9'],
    ['retry', 'issue-9'],
    ['pause', 'issue-9'],
    ['resume', 'issue-9'],
    ['cancel', 'issue-9'],
  ])('%s does not find %s', async (command, id) => {
    const { code, stdout, stderr } = await runHere([command, id, '--json'], { cwd });
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'NOT_FOUND', message: expect.stringContaining(`${id}, or it is past retention`) as string },
    });
  });
});

describe('on the embedded store', () => {
  it('works while the application does not, and says what to do while it does', async () => {
    const folder = dirname(await pgliteFolder());
    const cwd = configured({ queue: { connection: `pglite://${folder}` } });
    const lock = await FolderLock.acquire(folder, 0);
    const { code, stderr } = await runHere(['status'], { cwd });
    expect(code).toBe(4);
    expect(stderr).toMatch(
      /^error: The embedded queue in .* is in use by process \d+\. .* If it is the application, ask it instead \(MailService has the same calls\), or stop it for as long as the command takes\.\n$/,
    );
    expect(await json(['verify'], cwd)).toMatchObject({ ok: true });
    await lock.release();
    expect(await json(['status'], cwd)).toMatchObject({ queue: { paused: false } });
  }, 60_000);

  it('that was never written to is not created', async () => {
    const folder = join(temporaryFolder(), 'queue');
    const cwd = configured({ queue: { connection: `pglite://${folder}` } });
    expect(await json(['status'], cwd)).toMatchObject({ queue: { batches: { waiting: 0 } } });
    expect(await json(['worker', '--until-empty'], cwd)).toMatchObject({ reason: 'empty', batches: 0 });
    expect(existsSync(folder)).toBe(false);
  });
});

describe('verify', () => {
  const transports = (far: string) => [
    { name: 'main', url: smtp.url, region: 'eu-west-1' },
    { name: 'far', url: far, region: 'us-east-1' },
  ];

  it('tells that every transport can be logged in to, whatever the store is doing', async () => {
    const queue = { connection: `redis://127.0.0.1:${await freePort()}` };
    const options = { region: 'eu-west-1', defaultLane: 'bulk', priority: { overflow: 'queue' }, queue };
    const cwd = configured({ ...options, transports: transports(smtp.url) });
    expect(await json(['verify'], cwd)).toMatchObject({
      ok: true,
      transports: [
        { name: 'main', ok: true, rank: { priority: 1, bulk: 1 }, reason: /same region/ },
        { name: 'far', ok: true, rank: { priority: 2, bulk: 2 } },
      ].map(({ reason, ...rest }) => ({
        ...rest,
        ...(reason ? { reason: expect.stringMatching(reason) as string } : {}),
      })),
    });
  });

  it('fails when one cannot, and tells why', async () => {
    const away = `smtp://user:secret@127.0.0.1:${await freePort()}`;
    const cwd = configured({ region: 'eu-west-1', transports: transports(away), queue: false });
    const { code, stdout, stderr } = await runHere(['verify'], { cwd });
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toMatch(
      /^transport +result +took +rank +reason +error\nmain +ok +\d+ ms +priority 1, bulk 1 +same region /,
    );
    expect(stdout).toMatch(/\nfar +failed .* far at connect: connect ECONNREFUSED 127\.0\.0\.1:\d+\n$/);
    const broken = await runHere(['verify', '--json'], { cwd });
    expect(broken).toMatchObject({ code: 1, stderr: '' });
    expect(JSON.parse(broken.stdout)).toMatchObject({ ok: false, transports: [{ ok: true }, { ok: false }] });
    expect(stdout + broken.stdout).not.toContain('secret');
  });
});

describe('what cannot be done', () => {
  const refused = async (args: string[], options: object): Promise<Finished> => {
    const finished = await runHere(args, { cwd: configured(options) });
    expect(finished.stdout).toBe('');
    expect(finished.stderr).toMatch(/^error: [^\n]+\n$/);
    return finished;
  };

  it.each([
    [['verify'], { queue: { bach: {} } }, 'The mail option queue.bach is not known.'],
    [
      ['status'],
      { transports: [{ name: 'main', url: 'imap://u:secret@h' }] },
      'The mail option transports[0].url is "imap://***@h".',
    ],
    [['status'], { name: 'default' }, 'The mail option name is "default".'],
    [['status'], { queue: false }, 'There is no bulk lane'],
    [['worker'], { queue: false }, 'There is no bulk lane to work on'],
    [['worker', '--batches', '0', '--until-empty'], {}, 'The mail option queue.worker.batches is 0.'],
  ])('%j with %j is the configuration’s fault', async (args, options, message) => {
    const { code, stderr } = await refused(args, options);
    expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringContaining(message) as string });
  });

  it('tells that there is no configuration', async () => {
    expect(await runHere(['status'], { cwd: temporaryFolder() })).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^error: There is no mail configuration: /) as string,
    });
  });

  it.each([['status'], ['campaign', 'issue-1'], ['pause'], ['worker', '--until-empty']])(
    'tells that the store is away: %s %s',
    async (...args) => {
      const connection = `redis://:secret@127.0.0.1:${await freePort()}`;
      const { code, stderr } = await runHere(args, { cwd: configured({ queue: { connection } }) });
      expect(code).toBe(4);
      expect(stderr).toMatch(/error: The mail queue's store cannot be used: .*ECONNREFUSED.*Check queue\.connection/);
      expect(stderr).not.toContain('secret');
    },
  );

  it('takes one list to standard output', async () => {
    const { code, stderr } = await refused(['campaign', 'c', '--failures', '--remaining', '-'], {});
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('Only one list') as string });
  });
});
