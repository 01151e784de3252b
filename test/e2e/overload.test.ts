import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { expect, it } from 'vitest';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { runHere } from '../cli/run-here.js';
import { startMail } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { Listener } from '../support/listener.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';

/** What a status agent beside a mail server would tell. */
async function startStatusPage() {
  const page = { load: 0.5, url: '', asked: 0 };
  const server = createServer((request, response) => {
    page.asked++;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ load: page.load, cores: 4 }));
  });
  page.url = `http://127.0.0.1:${(await Listener.open(server)).port}/status`;
  return page;
}

const people = (count: number): { to: string }[] =>
  Array.from({ length: count }, (_, n) => ({ to: `r${n}@readers.test` }));
const served = (...servers: TestSmtpServer[]): string[] =>
  servers.flatMap(({ received }) => received.flatMap(({ to }) => to)).sort();
const everyone = (count: number): string[] =>
  people(count)
    .map(({ to }) => to)
    .sort();

it('moves the work to the server that is faster', { timeout: 60_000 }, async () => {
  const slow = await startSmtpServer({ delay: 250 });
  const fast = await startSmtpServer({ delay: 5 });
  const { mail } = await startMail({
    transports: [
      { name: 'slow', url: slow.url, maxConnections: 2 },
      { name: 'fast', url: fast.url, maxConnections: 2 },
    ],
    queue: { connection: (await startRedis()).url },
  });
  const { id } = await mail.sendBulk({ subject: 'x', text: 'x', recipients: people(400) });
  await eventually(async () => expect((await mail.campaign(id))?.state).toBe('completed'), { within: 20_000 });
  expect(served(slow, fast)).toEqual(everyone(400));
  expect(slow.received.length).toBeGreaterThan(0);
  expect(fast.received.length).toBeGreaterThan(4 * slow.received.length);
});

it(
  'gives nothing to a server that its agent reports as overloaded, until it has recovered',
  { timeout: 60_000 },
  async () => {
    const [tired, fresh] = [await startSmtpServer({ delay: 5 }), await startSmtpServer({ delay: 5 })];
    const agent = await startStatusPage();
    agent.load = 3;
    const { mail } = await startMail({
      transports: [
        { name: 'tired', url: tired.url, probe: { type: 'http', url: agent.url, every: 100, maxLoad: 2 } },
        { name: 'fresh', url: fresh.url },
      ],
      queue: { connection: (await startRedis()).url, batch: { size: 50 } },
    });
    const first = await mail.sendBulk({ subject: 'x', text: 'x', recipients: people(200) });
    await eventually(async () => expect((await mail.campaign(first.id))?.state).toBe('completed'), { within: 20_000 });
    expect(tired.received).toHaveLength(0);
    expect(served(fresh)).toEqual(everyone(200));
    // Somebody waits for this one: it is ranked last, and taken all the same where it is the only one.
    expect(await mail.send({ to: 'ann@shop.test', subject: 'x', text: 'x', transport: 'tired' })).toMatchObject({
      status: 'sent',
      transport: 'tired',
    });

    agent.load = 0.2;
    await eventually(async () => {
      await mail.sendBulk({ subject: 'x', text: 'x', recipients: people(20) });
      expect(tired.received.length).toBeGreaterThan(1);
    });
  },
);

it(
  'suspends a campaign at its deadline, lists whom it still has to serve, and resumes with exactly those',
  { timeout: 60_000 },
  async () => {
    const smtp = await startSmtpServer({ delay: 2 });
    const agent = await startStatusPage();
    const folder = temporaryFolder('overload');
    const options: MailModuleOptions = {
      from: 'Shop <shop@shop.test>',
      transports: [
        {
          name: 'main',
          url: smtp.url,
          maxConnections: 2,
          probe: { type: 'http', url: agent.url, every: 100, maxLoad: 2 },
        },
      ],
      queue: { connection: (await startRedis()).url, batch: { size: 20 }, waitForCapacity: 500 },
    };
    writeFileSync(join(folder, 'mail.config.json'), JSON.stringify(options));
    const command = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runHere(args, { cwd: folder });
      expect(stderr).toBe('');
      expect(code).toBe(0);
      return stdout;
    };
    const { mail } = await startMail(options);
    await mail.sendBulk({ id: 'issue-7', subject: 'x', text: 'x', recipients: people(600) });
    await eventually(() => smtp.received.length >= 50);
    agent.load = 5;
    await eventually(async () => expect((await mail.campaign('issue-7'))?.state).toBe('suspended'), { within: 20_000 });
    const before = served(smtp);
    expect(before.length).toBeLessThan(600);

    expect(await command('campaign', 'issue-7')).toMatch(/suspended[^]*main: .*load 5/);
    const list = join(folder, 'out.csv');
    await command('campaign', 'issue-7', '--remaining', list);
    const rows = parse<{ address: string; state: string }>(readFileSync(list, 'utf8'), { columns: true });
    expect(rows.map(({ address }) => address).sort()).toEqual(everyone(600).filter((to) => !before.includes(to)));
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(['suspended']));
    expect(served(smtp)).toEqual(before);

    agent.load = 0.1;
    await command('resume', 'issue-7');
    await eventually(async () => expect((await mail.campaign('issue-7'))?.state).toBe('completed'), { within: 20_000 });
    expect(served(smtp)).toEqual(everyone(600));
  },
);
