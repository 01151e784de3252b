import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram } from '../../scripts/lib/servers.mjs';
import { servers } from '../../scripts/lib/servers.mjs';
import type { Sink } from '../lib/sink.js';

const PATIENCE = 60_000;
const program = findProgram({ ...servers.smtpSink, program: 'smtp-source' });

export function hasSmtpSource(): boolean {
  return program !== undefined;
}

/** Mails a second that Postfix's smtp-source delivers over 10 connections: the same bytes each time, made of nothing. */
export async function sourceRate(sink: Sink, mails: number, bytes: number): Promise<number> {
  const before = await sink.count();
  const started = performance.now();
  const args = ['-d', '-s', '10', '-m', `${mails}`, '-l', `${Math.round(bytes)}`, '-f', 'no-reply@shop.test'];
  const sending = promisify(execFile)(program ?? '', [
    ...args,
    '-t',
    'subscriber@readers.test',
    new URL(sink.url).host,
  ]);
  const reached = sink.reached(before + mails, PATIENCE).then(() => performance.now() - started);
  const [took] = await Promise.all([reached, sending]);
  return mails / (took / 1_000);
}
