import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AppModule } from '../../sample-app/src/app.module.js';
import { setUp } from '../../sample-app/src/app.setup.js';
import { Settings } from '../../sample-app/src/settings/settings.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { pgliteFolder } from '../support/pglite.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';

const FOLLOWERS: [email: string, name: string, locale?: string][] = [
  ['seoyeon.kim@example.com', '김서연', 'ko'],
  ['hina.sato@example.com', '佐藤 陽菜 📚'],
  ['zoe@bücher.test', 'Zoë "Bee" Brontë, Jr.'],
  ['sean@example.com', "Seán O'Brien <3"],
];
for (let i = FOLLOWERS.length; i < 120; i++) FOLLOWERS.push([`follower${i}@example.com`, `Follower ${i}`]);

let smtp: TestSmtpServer;
let app: NestExpressApplication;
let site: string;

beforeAll(async () => {
  smtp = await startSmtpServer();
  const followersFile = join(temporaryFolder(), 'followers.csv');
  const rows = FOLLOWERS.map(([email, name, locale = 'en']) => `${email},"${name.replaceAll('"', '""')}",${locale}`);
  await writeFile(followersFile, ['email,name,locale', ...rows].join('\n'));
  const settings: Partial<Settings> = {
    siteUrl: 'https://community.test',
    smtpUrl: smtp.url,
    inboxUrl: 'http://127.0.0.1:1080',
    queueUrl: `pglite://${await queueFolder()}`,
    worker: true,
    mailSecret: 'a secret of this test, long enough',
    followersFile,
  };
  const module = await Test.createTestingModule({ imports: [AppModule] })
    .overrideProvider(Settings)
    .useValue(settings)
    .compile();
  app = setUp(module.createNestApplication<NestExpressApplication>({ logger: ['error', 'warn'] }));
  await app.listen(0, '127.0.0.1');
  site = await app.getUrl();
});

afterAll(() => app.close());

test('a reset is with the mail server when the request is answered', async () => {
  const { status, body } = await post('/password-resets', { email: 'kim@example.com' });
  expect(status).toBe(201);
  expect(body).toMatchObject({ status: 'sent', lane: 'priority', accepted: ['kim@example.com'] });
  const received = smtp.received.find(({ to }) => to.includes('kim@example.com'));
  expect((await parse(received!.raw)).messageId).toBe(body.messageId);
  await eventually(async () => {
    expect((await get(`/mails/${body.id}`)).body).toMatchObject({ state: 'sent', lane: 'priority' });
  });
});

test('a post reaches every follower once, under their own name and in their own language', async () => {
  const { status, body } = await post('/posts', {
    author: 'Mina & Co',
    title: '<b>Bees</b> {{name}} 🐝',
    text: 'one\ntwo',
  });
  expect(status).toBe(202);
  expect(body).toMatchObject({ queued: FOLLOWERS.length, duplicates: 0, rejected: 0 });

  const delivered = async (): Promise<Answer['body']> => {
    const { body: report } = await get(`/campaigns/${body.id}`);
    expect(report).toMatchObject({ state: 'completed' });
    return report;
  };
  const campaign = await eventually(delivered, { within: 25_000 });
  expect(campaign).toMatchObject({
    name: 'Mina & Co: <b>Bees</b> {{name}} 🐝',
    total: FOLLOWERS.length,
    sent: FOLLOWERS.length,
    failed: 0,
  });
  expect((await get('/posts')).body).toMatchObject([{ id: body.id, author: 'Mina & Co' }]);

  const mails = await Promise.all(
    smtp.received.filter(({ raw }) => raw.includes(body.id)).map(async ({ raw }) => parse(raw)),
  );
  expect(mails.map(({ to }) => to[0]?.name).sort()).toEqual(FOLLOWERS.map(([, name]) => name).sort());
  const mail = mails.find(({ to }) => to[0]?.name === "Seán O'Brien <3");
  expect(mail?.subject).toBe('Mina & Co: <b>Bees</b> {{name}} 🐝');
  expect(mail?.text).toContain("Hello Seán O'Brien <3,");
  expect(mail?.html).toContain('Hello Seán O&#x27;Brien &lt;3,');
  expect(mail?.html).toContain('&lt;b&gt;Bees&lt;/b&gt;');
  expect(mail?.html).toContain(`href="https://community.test/#${body.id}"`);
  const korean = mails.find(({ to }) => to[0]?.name === '김서연');
  expect(korean?.subject).toBe('Mina & Co님의 새 글: <b>Bees</b> {{name}} 🐝');
  expect(korean?.html).toMatch(/<html lang="ko">[^]*안녕하세요, 김서연님\.[^]*정원을 가꾸는 사람들의 모임/);
  expect(mails.filter(({ html }) => html?.includes('<html lang="en">'))).toHaveLength(FOLLOWERS.length - 1);

  await eventually(async () => {
    const { body: latest } = await get('/mails/latest');
    expect(JSON.stringify(latest)).toContain('went out to 120 of 120 readers');
  });
});

test('a preview goes to those named in the request', async () => {
  const preview = [{ to: 'Editor <editor@example.com>', context: { name: 'Ed' } }, { to: 'second@example.com' }];
  const { body } = await post('/posts', { author: 'Mina', title: 'Draft', preview });
  expect(body).toMatchObject({ queued: 2 });
  const received = await eventually(() => smtp.received.find(({ to }) => to.includes('editor@example.com')) ?? false);
  expect((await parse(received.raw)).text).toContain('Hello Ed,');
});

test('a comment is told to those who take part, its mails queued together', async () => {
  const preview = [{ to: 'third@example.com' }];
  const { body } = await post('/posts', { author: 'Mina Park', title: 'Bees', preview });
  const comments = `/posts/${body.id}/comments`;
  await post(comments, { author: '김지우', text: '반가워요!' });
  expect(await post(comments, { author: 'Zoë Brontë', text: 'Same here' })).toMatchObject({
    status: 201,
    body: { notified: 2 },
  });
  const received = await eventually(
    () => smtp.received.find(({ to }) => to.includes('jiwoo.kim@example.com')) ?? false,
  );
  expect(await parse(received.raw)).toMatchObject({ subject: 'Zoë Brontë님의 댓글: Bees' });
  expect((await get(comments)).body).toMatchObject([{ author: '김지우' }, { author: 'Zoë Brontë' }]);
  expect((await get('/mails/latest')).body).toContainEqual(
    expect.objectContaining({ text: 'A request queued its mail in one go: 2.' }),
  );
});

test.each([
  ['/password-resets', {}, 'email must be an email address'],
  ['/password-resets', { email: 'no address' }, 'email must be an email address'],
  ['/password-resets', { email: ['a@example.com', 'b@example.com'] }, 'email must be an email address'],
  ['/password-resets', { email: 'kim@example.com', bcc: 'x@example.com' }, 'property bcc should not exist'],
  ['/posts', { author: ' ', title: 'A' }, 'author must be one line of text'],
  ['/posts', { author: 'Mina', title: 'A\r\nBcc: x@example.com' }, 'title must be one line of text'],
  ['/posts', { author: 'Mina', title: 'A', preview: [{ to: 'nobody' }] }, 'preview.0.to "nobody" is not an address'],
  ['/posts', { author: 'Mina', title: 'A', text: 'NUL \0' }, 'data.text contains a NUL character'],
  ['/posts/unknown/comments', { author: 'Mina', text: ' ' }, 'text should not be empty'],
])('%s refuses %j', async (path, input, fault) => {
  const before = smtp.received.length;
  const { status, body } = await post(path, input);
  expect(status).toBe(400);
  expect([body.message, fault]).toEqual([[fault], fault]);
  expect(smtp.received.length).toBe(before);
});

test.each(['/campaigns/unknown', '/mails/unknown', '/mails/p_0000000000000000000000'])(
  '%s is not found',
  async (path) => {
    expect((await get(path)).status).toBe(404);
  },
);

test('a reset outlives its mail server, and health tells that there is none', async () => {
  expect(await get('/health')).toMatchObject({ status: 200, body: { info: { mail: { status: 'up' } } } });
  await smtp.stop();
  try {
    const { status, body } = await post('/password-resets', { email: 'late@example.com' });
    expect({ status, body }).toMatchObject({ status: 201, body: { status: 'queued' } });
    await eventually(async () => {
      const { status: health, body: told } = await get('/health');
      expect({ health, told }).toMatchObject({ health: 503, told: { error: { mail: { status: 'down' } } } });
    });
    await smtp.resume();
    await eventually(async () => {
      expect((await get(`/mails/${body.id}`)).body).toMatchObject({ state: 'sent' });
    });
    expect(smtp.received.filter(({ to }) => to.includes('late@example.com'))).toHaveLength(1);
  } finally {
    await smtp.resume();
  }
});

test('the home page and the dashboard are served', async () => {
  const page = await fetch(`${site}/`);
  expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
  expect(await page.text()).toContain('Publish a post');
  for (const asset of ['app.js', 'style.css', 'favicon.svg'])
    expect((await fetch(`${site}/${asset}`)).status).toBe(200);
  expect((await get('/site')).body).toMatchObject({ inbox: 'http://127.0.0.1:1080', queues: '/queues' });
  expect((await fetch(`${site}/queues/`)).status).toBe(200);
  const { body } = await get('/queues/api/queues?activeQueue=mail&status=completed');
  expect(body).toMatchObject({ queues: [{ name: 'mail', readOnlyMode: true }] });
});

/** The store keeps its data in a folder of that name inside its own. */
async function queueFolder(): Promise<string> {
  return join(await pgliteFolder(), '..');
}

interface Answer {
  status: number;
  body: Record<string, unknown> & { id: string };
}

async function get(path: string): Promise<Answer> {
  const response = await fetch(site + path);
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

async function post(path: string, input: object): Promise<Answer> {
  const response = await fetch(site + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(input),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}
