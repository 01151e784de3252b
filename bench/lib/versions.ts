import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { findProgram, servers } from '../../scripts/lib/servers.mjs';

const PACKAGES = [
  'bullmq',
  'nodemailer',
  'ioredis',
  'pg',
  '@electric-sql/pglite',
  '@nestjs/core',
  '@nestjs/mail',
  '@nestjs-modules/mailer',
];

/** What else the figures depend on, by name and version, as far as it is installed. */
export async function versions(): Promise<string[]> {
  const found = await Promise.all([
    ...PACKAGES.map(async (name) => join(name, await packageVersion(name))),
    programVersion('Redis', servers.redis, ['--version']),
    programVersion('PostgreSQL', servers.postgres, ['--version']),
    programVersion('Postfix', { ...servers.smtpSink, program: 'postconf' }, ['-d', '-h', 'mail_version']),
  ]);
  return found.filter((version) => version !== undefined);
}

async function packageVersion(name: string): Promise<string | undefined> {
  for (const folder of ['../../node_modules', '../peers/node_modules']) {
    const file = new URL(`${folder}/${name}/package.json`, import.meta.url);
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version?: string }).version;
  }
  return undefined;
}

async function programVersion(name: string, server: typeof servers.redis, args: string[]): Promise<string | undefined> {
  const program = findProgram(server);
  if (!program) return undefined;
  const printed = await promisify(execFile)(program, args).catch(() => undefined);
  return join(name, /\d+(\.\d+)+/.exec(printed?.stdout ?? '')?.[0]);
}

function join(name: string, version: string | undefined): string | undefined {
  return version === undefined ? undefined : `${name} ${version}`;
}
