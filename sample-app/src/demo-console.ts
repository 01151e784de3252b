import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sink } from './demo/sink.js';
import { count, heading, line, table } from './demo/terminal.js';

// A CSV file of 10,000, sent by the command `priority-mail` with the site's own options. It is killed on the way, and the same
// command again serves the rest.

const RECIPIENTS = Number(process.env['RECIPIENTS'] ?? 10_000);
const KILLED_AFTER = 0.3;

const require = createRequire(import.meta.url);
const manifest = require.resolve('nestjs-priority-mail/package.json');
const { bin } = require(manifest) as { bin: Record<string, string> };
const command = join(dirname(manifest), bin['priority-mail']!);

const folder = await mkdtemp(join(tmpdir(), 'demo-console-'));
const sink = new Sink();
process.exitCode = await play().finally(async () => {
  await sink.close();
  await rm(folder, { recursive: true, force: true });
});

async function play(): Promise<number> {
  heading('A CSV file from the console, and kill -9 on the way');
  const rows = Array.from({ length: RECIPIENTS }, (_, n) => `member${n}@example.com,Member ${n}\n`);
  await writeFile(join(folder, 'members.csv'), `email,name\n${rows.join('')}`);
  const smtp = await sink.listen();

  const first = start(smtp);
  while (sink.mails < RECIPIENTS * KILLED_AFTER && first.child.exitCode === null) await sleep(5);
  first.child.kill('SIGKILL');
  await first.ended;
  // What is on the wire still arrives.
  await sleep(200);
  const before = sink.mails;
  line('$ kill -9');
  line();

  const second = start(smtp);
  const code = await second.ended;
  const report = (await readFile(join(folder, 'report.csv'), 'utf8')).trim().split('\r\n').slice(1);
  const sent = report.filter((row) => row.split(',')[2] === 'sent').length;
  const twice = sink.mails - sink.arrivals.size;
  table([
    ['Arrived before the kill', count(before), `of ${count(RECIPIENTS)}`],
    ['Arrived in the end', count(sink.arrivals.size), `different addresses, in ${count(sink.mails)} mails`],
    ['Sent twice', count(twice), 'accepted right before the kill, and not recorded yet'],
    ['In the report', count(report.length), `rows, ${count(sent)} of them sent`],
  ]);
  const isComplete = code === 0 && sink.arrivals.size === RECIPIENTS && sent === RECIPIENTS;
  return isComplete ? 0 : 1;
}

/** The command as one would type it; what it says goes to this terminal. */
function start(smtp: string): { child: ReturnType<typeof spawn>; ended: Promise<number | null> } {
  const args = [
    'bulk',
    'members.csv',
    '--subject',
    'News for {{name}}',
    '--text',
    'Hello {{name}}',
    '--report',
    'report.csv',
  ];
  line(`$ npx priority-mail ${args.map((arg) => (/[ {]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`);
  const config = resolve(import.meta.dirname, 'mail.config.js');
  const child = spawn(process.execPath, [command, ...args, '--yes', '--config', config], {
    cwd: folder,
    env: { QUEUE_URL: `pglite://${join(folder, 'queue')}`, ...process.env, SMTP_URL: smtp },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return { child, ended };
}
