import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, vi, afterEach } from 'vitest';
import { numberFrom } from '../../src/cli/status-agent/command.js';
import { exchange } from '../../src/cli/status-agent/mail-servers/exchange.js';
import { installed, openMailServer } from '../../src/cli/status-agent/open-mail-server.js';
import { MailConfigError } from '../../src/errors.js';
import { temporaryFolder } from '../support/temp.js';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder('spool');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

async function files(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(join(folder, dirname(path)), { recursive: true });
    await writeFile(join(folder, path), '');
  }
}

/** A command of this name that is found first; `$*` are its arguments. */
async function command(name: string, script: string): Promise<string> {
  const path = join(folder, 'bin', name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  vi.stubEnv('PATH', [dirname(path), process.env['PATH']].join(delimiter));
  return path;
}

const queueOf = (name: string, paths: object) => openMailServer(name, paths).queue?.();

describe('the queue of', () => {
  it('Postfix is the files of its folders, but for those on hold', async () => {
    await files(
      'maildrop/1',
      'incoming/2',
      'active/3',
      'deferred/A/4',
      'deferred/B/5',
      'deferred/B/6',
      'hold/7',
      'pid/8',
    );
    expect(await queueOf('postfix', { spool: folder })).toBe(6);
  });

  it('Postfix is asked for where its folders are closed', async () => {
    await files('incoming/2');
    await command('postqueue', `[ "$*" = -j ] && printf '{"queue_id":"1"}\\n{"queue_id":"2"}\\n'`);
    expect(await queueOf('postfix', { spool: folder })).toBe(2);
    await command('postqueue', 'echo "fatal: not allowed"; exit 69');
    await expect(queueOf('postfix', { spool: folder })).rejects.toThrow('postqueue ended with 69');
  });

  it('Exim is what it says', async () => {
    await command('exim', `[ "$*" = -bpc ] && echo 17`);
    expect(await queueOf('exim', {})).toBe(17);
  });

  it('Exim in a folder is a file for each message', async () => {
    await files('a/1xyz-000001-00-H', 'a/1xyz-000001-00-D', 'b/1xyz-000002-00-H');
    expect(await queueOf('exim', { queueDir: folder })).toBe(2);
  });

  it('Sendmail is its control files', async () => {
    await files('qf1', 'df1', 'q2/qf/qf2', 'q2/df/df2', 'Qf3', 'hf4');
    expect(await queueOf('sendmail', { spool: folder })).toBe(2);
  });

  it('IIS is its messages', async () => {
    await files('Queue/NTFS_1.EML', 'Queue/NTFS_2.eml', 'Queue/NTFS_1.STM', 'Badmail/3.eml');
    expect(await queueOf('iis', { spool: folder })).toBe(2);
  });

  it('Exchange is what PowerShell says', async () => {
    const said = join(folder, 'said');
    const powershell = await command('powershell.exe', `printf '%s\\n' "$@" > ${said}; printf '\\r\\n42\\r\\n'`);
    expect(await exchange({}, powershell).queue?.()).toBe(42);
    expect(await readFile(said, 'utf8')).toMatch(/^-NoProfile\n-NonInteractive\n-Command\n.*Get-Queue.*Sum\n$/);
  });

  it('any other is the files of a folder, if one is given', async () => {
    await files('1', 'below/2');
    expect(await queueOf('none', { queueDir: folder })).toBe(2);
    expect(openMailServer('none', {}).queue).toBeUndefined();
  });
});

describe('a command', () => {
  it.each([
    ['prints no number', 'echo many', 'fake printed no number'],
    ['prints nothing', '', 'fake printed no number'],
    ['fails', 'echo 3; exit 1', 'fake ended with 1'],
    ['dies', 'kill -9 $$', 'fake ended with SIGKILL'],
  ])('that %s is no answer', async (_, script, expected) => {
    await command('fake', script);
    await expect(numberFrom('fake', [])).rejects.toThrow(expected);
  });

  it('is not told the token', async () => {
    vi.stubEnv('PRIORITY_MAIL_AGENT_TOKEN', '12345678901234567890');
    await command('fake', 'echo "0$PRIORITY_MAIL_AGENT_TOKEN"');
    expect(await numberFrom('fake', [])).toBe(0);
  });

  it('gets its arguments as they are, by no shell', async () => {
    await command('fake', 'echo $#');
    expect(await numberFrom('fake', ['$(id) ; ls', '*'])).toBe(2);
  });
});

describe('the mail server of a machine', () => {
  const has =
    (...paths: string[]) =>
    (path: string) =>
      paths.includes(path);

  it.each([
    ['postfix', has('/usr/sbin/postqueue', '/etc/mail/sendmail.cf'), {}],
    ['exim', has('/usr/sbin/exim4'), {}],
    ['sendmail', has('/etc/mail/sendmail.cf'), {}],
    ['iis', has('C:\\inetpub\\mailroot\\Queue'), {}],
    ['exchange', has('C:\\inetpub\\mailroot\\Queue'), { ExchangeInstallPath: 'C:\\Exchange\\' }],
    ['none', has(), {}],
  ])('is %s', (name, exists, env) => {
    expect(installed(exists, env)).toBe(name);
  });

  it('has its queue on the disk where it usually is', () => {
    const spools = ['postfix', 'sendmail', 'iis', 'none'].map((name) => openMailServer(name, {}).spool);
    expect(spools[0]).toBe('/var/spool/postfix');
    expect(spools[1]).toBe('/var/spool/mqueue');
    expect(spools[2]).toContain('mailroot');
    expect(spools[3]).toBeUndefined();
    vi.stubEnv('ExchangeInstallPath', 'C:\\Exchange\\V15\\');
    expect(exchange({}).spool).toBe('C:\\Exchange\\V15\\TransportRoles\\data\\Queue');
  });

  it('is one of those that are known', () => {
    const unknown = () => openMailServer('qmail', {});
    expect(unknown).toThrow(MailConfigError);
    expect(unknown).toThrow(
      'The mail server "qmail" is not known. Give one of auto, postfix, exim, sendmail, exchange',
    );
  });
});
