import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildIfStale } from '../../scripts/lib/build.mjs';
import { root, tool } from '../../scripts/lib/root.mjs';
import { snippetsOf } from '../support/snippets.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { temporaryFolder } from '../support/temp.js';

const INSTALL = 120_000;
/** Without what npm and vitest tell the programs they start about this repository. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|config_local_prefix)|VITEST|NODE_|INIT_CWD)/.test(name),
  ),
);
const NEST = ['@nestjs/common', '@nestjs/core', '@nestjs/platform-express'];

let tarball: string;

beforeAll(async () => {
  await buildIfStale();
  const folder = temporaryFolder('pack');
  const packed = await run(root, 'npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder]);
  expect(packed).toMatchObject({ code: 0 });
  tarball = join(folder, readdirSync(folder)[0]!);
}, INSTALL);

describe('installed into an empty Nest application', () => {
  let app: string;

  beforeAll(async () => {
    app = await install(
      { type: 'module' },
      ...[...NEST, 'reflect-metadata', 'rxjs', '@electric-sql/pglite', '@types/node'].map(
        (name) => `${name}@${installedVersion(name)}`,
      ),
    );
    write(app, 'tsconfig.json', JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ['src'] }));
    for (const [path, code] of snippetsOf(...PAGES)) write(app, path, code);
    write(app, 'src/main.ts', MAIN);
    write(app, 'src/priority.ts', PRIORITY);
    write(app, 'src/types.ts', TYPES);
    write(app, 'src/missing.ts', MISSING);
    const compiled = await runNode(app, [tool('typescript/bin/tsc')]);
    expect(compiled).toMatchObject({ code: 0, output: '' });
  }, INSTALL);

  it('the quick start of the README sends on both lanes, and the process ends by itself', async () => {
    const smtp = await startSmtpServer({
      onRcpt: (address) => {
        if (address.startsWith('nobody@')) return { code: 550, text: '5.1.1 No such user' };
        if (address.startsWith('full@')) return { code: 452, text: '4.2.2 Mailbox full' };
        return undefined;
      },
    });
    const { code, output } = await runNode(app, ['dist/main.js'], { SMTP_URL: smtp.url });
    expect({ code, output }).toMatchObject({ code: 0 });

    expect(JSON.parse(output)).toEqual({
      sent: {
        status: 'sent',
        id: expect.stringMatching(/^p_/) as string,
        messageId: expect.stringMatching(/^<p_.*@shop\.example>$/) as string,
        lane: 'priority',
        transport: 'main',
        accepted: ['ada@example.com'],
        rejected: [],
        rejections: [],
        response: expect.stringMatching(/^250 /) as string,
      },
      queued: { id: expect.stringMatching(/^c_/) as string, queued: 3, duplicates: 0, rejected: 0, rejections: [] },
      summary: ['completed: 2 of 3 sent, 1 failed', 'nobody@example.com: 550 5.1.1 No such user'],
      answers: [
        'The code is on its way.',
        'This is not an email address.',
        'The mail server refuses this address.',
        'The mail server has a problem. Please try again in a minute.',
      ],
      again: ['To be tried again: 1'],
    });
    const mails = smtp.received.map(({ to, raw }) => [...to, /^Subject: (.*?)\r$/m.exec(raw.toString())?.[1]]);
    expect(mails).toHaveLength(4);
    expect(mails).toEqual(
      expect.arrayContaining([
        ['ada@example.com', 'Your code'],
        ['ada@example.com', 'Tea is back'],
        ['bob@example.com', 'Tea is back'],
        ['carol@example.com', 'Your code'],
      ]),
    );
  }, 60_000);

  describe('the code of docs/priority-mail.md and docs/events.md', () => {
    const near = 'smtp://127.0.0.1:1';
    const far = 'smtp://127.0.0.1:2';

    it('sends a mail once, by the nearest server', async () => {
      const [ireland, virginia] = [await startSmtpServer(), await startSmtpServer()];
      const { code, output } = await runNode(app, ['dist/priority.js', 'near'], {
        SMTP_IRELAND: ireland.url,
        SMTP_VIRGINIA: virginia.url,
        SMTP_TENANT: virginia.url,
      });
      expect({ code, output }).toMatchObject({ code: 0 });
      expect(JSON.parse(output)).toEqual({
        way: [
          expect.stringMatching(/^1\. ireland: same region \(eu-west-1\), [\d.]+ ms$/) as string,
          expect.stringMatching(/^2\. virginia: in us-east-1, [\d.]+ ms$/) as string,
        ],
        answers: Array(2).fill(expect.stringMatching(/^ireland said: 250 /)),
        health: { status: 'up', circuits: ['closed', 'closed'] },
        down: [],
        tenant: 'tenant-7',
      });
      // As they came, which tells the one from the other.
      const resets = ireland.received.map(({ raw }) => raw.toString());
      expect(resets).toEqual([expect.stringContaining('Subject: Choose a new password')]);
      expect(virginia.received).toHaveLength(1);
    }, 60_000);

    it('takes the other while the nearest is away', async () => {
      const virginia = await startSmtpServer();
      const { code, output } = await runNode(app, ['dist/priority.js', 'far'], {
        SMTP_IRELAND: near,
        SMTP_VIRGINIA: virginia.url,
        AWAIT_DOWN: '1',
      });
      expect({ code, output }).toMatchObject({ code: 0 });
      expect(JSON.parse(output)).toMatchObject({
        way: [expect.stringContaining('1. virginia: '), expect.stringContaining('2. ireland: ireland at connect: ')],
        answers: Array(2).fill(expect.stringMatching(/^virginia said: 250 /)),
        health: { status: 'up', circuits: ['closed', 'open'] },
        down: ['ireland'],
      });
      expect(virginia.received).toHaveLength(1);
    }, 60_000);

    it('queues the mail while none can be reached', async () => {
      const { code, output } = await runNode(app, ['dist/priority.js', 'none'], {
        SMTP_IRELAND: near,
        SMTP_VIRGINIA: far,
        AWAIT_DOWN: '2',
      });
      expect({ code, output }).toMatchObject({ code: 0 });
      expect(JSON.parse(output)).toMatchObject({
        answers: ['It leaves in a moment.', 'It leaves in a moment.'],
        health: { status: 'down', circuits: ['open', 'open'] },
        down: ['ireland', 'virginia'],
      });
    }, 60_000);
  });

  it('the command takes the configuration of docs/command.md', async () => {
    const npx = (...args: string[]) => run(app, 'npx', ['--no-install', 'priority-mail', ...args], { env });
    const env = { SMTP_URL: (await startSmtpServer()).url };
    expect(await npx('--help')).toMatchObject({ code: 0, output: expect.stringContaining('Exit codes:') as string });
    const { code, output, stdout } = await npx('verify', '--json', '--config', 'dist/mail.config.js');
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, transports: [{ name: 'main', ok: true }] });
  }, 60_000);

  it('the test in the README passes', async () => {
    const { code, output } = await runNode(app, ['--test', '--test-reporter=tap', 'dist/shop-mail.service.test.js']);
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('# pass 1\n') as string });
  }, 60_000);

  it('an option whose package is not installed ends the boot with the install command', async () => {
    const { output } = await runNode(app, ['dist/missing.js', 'redis://127.0.0.1', 'postgres://127.0.0.1/x']);
    expect(output.trim().split('\n')).toEqual([
      'MailConfigError: A queue on Redis needs the package ioredis. Install it: npm install ioredis',
      'MailConfigError: A queue on PostgreSQL needs the package pg. Install it: npm install pg',
      'MailConfigError: The mail option metrics needs the package prom-client. Install it: npm install prom-client',
      'MailConfigError: The mail option tracing needs the package @opentelemetry/api. Install it: npm install @opentelemetry/api',
    ]);
  }, 60_000);
});

it(
  'runs in a CommonJS application on Nest 11',
  async () => {
    const app = await install({}, ...NEST.map((name) => `${name}@11`), 'reflect-metadata', 'rxjs');
    write(app, 'main.js', COMMON_JS);
    expect(await runNode(app, ['main.js'])).toMatchObject({
      code: 0,
      output:
        'MailConfigError: The embedded queue needs the package @electric-sql/pglite. Install it: npm install @electric-sql/pglite\n' +
        'Nest 11: sent, in the mailbox: 1\n',
    });
  },
  INSTALL,
);

/** Those whose code is run here. The code of all others is compiled, and what they open with is run, against src in test/docs. */
const PAGES = [
  'README.md',
  'docs/command.md',
  'docs/errors-and-states.md',
  'docs/events.md',
  'docs/interruptions.md',
  'docs/priority-mail.md',
];

/** What a strict application has; the packages' own types are checked as far as they are used. */
const COMPILER_OPTIONS = {
  target: 'es2023',
  module: 'nodenext',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  skipLibCheck: true,
  types: ['node'],
  rootDir: 'src',
  outDir: 'dist',
};

const MAIN = `
import { setTimeout as sleep } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import { MailService } from 'nestjs-priority-mail';
import { AppModule } from './app.module.js';
import { summary } from './campaign-summary.js';
import { goOn } from './resume-campaign.js';
import { tryAgain } from './retry-campaign.js';
import { ShopMailService } from './shop-mail.service.js';
import { SignInService } from './sign-in.service.js';

const app = await NestFactory.create(AppModule, { logger: ['fatal', 'error', 'warn'] });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');

const shop = app.get(ShopMailService);
const mail = app.get(MailService);
const sent = await shop.sendCode('ada@example.com', '482913');
const queued = await shop.announce('Tea', [
  { email: 'ada@example.com', name: 'Ada' },
  { email: 'bob@example.com', name: 'Bob' },
  { email: 'nobody@example.com', name: 'Nobody' },
]);
const answers: string[] = [];
for (const email of ['carol@example.com', 'carol', 'nobody@example.com', 'full@example.com']) {
  answers.push(await new SignInService(mail).sendCode(email, '482913'));
}
while ((await mail.campaign(queued.id))?.state !== 'completed') await sleep(20);
const before = await summary(mail, queued.id);
const again = [await tryAgain(mail, queued.id), ...(await goOn(mail, queued.id))];
console.log(JSON.stringify({ sent, queued, summary: before, answers, again }));
await app.close();
`;

const PRIORITY = `
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MailHealthIndicator, MailService } from 'nestjs-priority-mail';
import { AccountMailModule } from './account-mail.module.js';
import { MailAlerts } from './mail-alerts.js';
import { PasswordResets } from './password-resets.js';
import { TenantMailModule } from './tenant-mail.module.js';
import { whichWay } from './which-way.js';

const [, , reset = ''] = process.argv;
const { AWAIT_DOWN = '0', SMTP_TENANT } = process.env;

@Module({ imports: [AccountMailModule], providers: [MailAlerts] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
const { down } = app.get(MailAlerts);
const way = await whichWay(app.get(MailService));
const send = () => app.get(PasswordResets).send('ada@example.com', reset, 'https://shop.example/reset/1');
const answers = [await send(), await send()];
while (down.size < Number(AWAIT_DOWN)) await sleep(20);
console.log(JSON.stringify({ way, answers, health: await health(), down: [...down].sort(), tenant: await tenant() }));
await app.close();

async function health(): Promise<unknown> {
  const { status, transports } = (await app.get(MailHealthIndicator).isHealthy()).mail;
  return { status, circuits: transports.map(({ circuit }) => circuit) };
}

async function tenant(): Promise<string | undefined> {
  if (SMTP_TENANT === undefined) return undefined;
  const tenants = await NestFactory.createApplicationContext(TenantMailModule, { logger: false });
  const message = { to: 'ada@example.com', subject: 'x', text: 'x', transport: 'tenant-7' };
  const receipt = await tenants.get(MailService).send(message);
  await tenants.close();
  return receipt.status === 'sent' ? receipt.transport : receipt.status;
}
`;

/** Compiles only as long as the packed types are found and say something. */
const TYPES = `
import { MailModule, type MailReceipt, type MailService, type MailState } from 'nestjs-priority-mail';
import { Mailbox } from 'nestjs-priority-mail/testing';

// @ts-expect-error there are no transports
MailModule.forRoot({ from: 'no-reply@shop.example' });
// @ts-expect-error it is called size
MailModule.forRoot({ transports: [new Mailbox()], queue: { batch: { length: 5 } } });
// @ts-expect-error it is called subject
export const misspelt = (mail: MailService) => mail.send({ to: 'ada@example.com', subjekt: 'x' });
// @ts-expect-error a queued receipt has no response
export const response = (receipt: MailReceipt): string => receipt.response;
export const narrowed = (receipt: MailReceipt): string | undefined =>
  receipt.status === 'sent' ? receipt.response : undefined;
// @ts-expect-error there is no such state
export const state: MailState = 'delivered';
`;

const MISSING = `
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MailConfigError, MailModule } from 'nestjs-priority-mail';
import { Mailbox } from 'nestjs-priority-mail/testing';

const stores = process.argv.slice(2).map((connection) => ({ queue: { connection } }));
for (const options of [...stores, { queue: false, metrics: true }, { queue: false, tracing: true }] as const) {
  @Module({ imports: [MailModule.forRoot({ transports: [new Mailbox()], ...options })] })
  class AppModule {}

  try {
    await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  } catch (error) {
    if (!(error instanceof MailConfigError)) throw error;
    console.log(\`\${error.name}: \${error.message}\`);
  }
}
`;

const COMMON_JS = `
require('reflect-metadata');
const { NestFactory } = require('@nestjs/core');
const { MailModule, MailService } = require('nestjs-priority-mail');
const { Mailbox } = require('nestjs-priority-mail/testing');
const { version } = require('@nestjs/core/package.json');

const mailbox = new Mailbox();

function start(options) {
  class AppModule {}
  const mail = MailModule.forRoot({ from: 'no-reply@shop.example', transports: [mailbox], ...options });
  const module = { module: AppModule, imports: [mail] };
  return NestFactory.create(module, { logger: ['fatal', 'warn'], abortOnError: false });
}

async function main() {
  await start({}).catch((error) => console.log(\`\${error.name}: \${error.message}\`));
  const app = await start({ queue: false });
  await app.listen(0, '127.0.0.1');
  const { status } = await app.get(MailService).send({ to: 'ada@example.com', subject: 'x', text: 'x' });
  await app.close();
  console.log(\`Nest \${version.split('.')[0]}: \${status}, in the mailbox: \${mailbox.to('ada@example.com').length}\`);
}

void main();
`;

/** Makes an application with these packages and the packed one, outside of this repository, and returns its folder. */
async function install(manifest: object, ...packages: string[]): Promise<string> {
  const folder = temporaryFolder('app');
  write(folder, 'package.json', JSON.stringify({ name: 'app', private: true, ...manifest }));
  const options = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=warn'];
  const { code, output } = await run(folder, 'npm', ['install', ...options, tarball, ...packages]);
  expect({ code, output }).toMatchObject({ code: 0 });
  // npm's other warnings are about the machine and about Nest's own packages.
  expect(output).not.toMatch(/ERESOLVE|deprecated|\bpeer\b/i);
  return folder;
}

function installedVersion(name: string): string {
  const manifest = JSON.parse(readFileSync(tool(`${name}/package.json`), 'utf8')) as { version: string };
  return manifest.version;
}

function write(folder: string, path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

interface Finished {
  /** The exit code, or the signal that ended it. */
  code: number | string;
  stdout: string;
  /** That and what it wrote to stderr. */
  output: string;
}

/** Runs a program on this very Node.js. */
function runNode(folder: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return run(folder, process.execPath, args, { env, timeout: 45_000 });
}

interface RunOptions {
  env?: NodeJS.ProcessEnv;
  /** Milliseconds until it is killed. */
  timeout?: number;
}

function run(folder: string, command: string, args: string[], { env, timeout = 100_000 }: RunOptions = {}) {
  return new Promise<Finished>((resolve) => {
    const options = { cwd: folder, env: { ...ENVIRONMENT, ...env }, timeout, killSignal: 'SIGKILL' } as const;
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? error.signal ?? 1) : 0, stdout, output: stdout + stderr });
    });
  });
}
