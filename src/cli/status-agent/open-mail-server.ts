import { existsSync } from 'node:fs';
import { MailConfigError } from '../../errors.js';
import type { MailServer, MailServerPaths } from './mail-server.js';
import { exchange } from './mail-servers/exchange.js';
import { exim } from './mail-servers/exim.js';
import { iis } from './mail-servers/iis.js';
import { none } from './mail-servers/none.js';
import { postfix } from './mail-servers/postfix.js';
import { sendmail } from './mail-servers/sendmail.js';

const SERVERS = { postfix, exim, sendmail, exchange, iis, none };

type ServerName = keyof typeof SERVERS;

/** What `--mail-server` may be; `auto` looks which one is installed. */
export const MAIL_SERVERS = ['auto', ...(Object.keys(SERVERS) as ServerName[])] as const;

export type MailServerName = (typeof MAIL_SERVERS)[number];

/** Where each is found by; Postfix brings a `sendmail` as well. */
const SIGNS: readonly [ServerName, readonly string[]][] = [
  ['postfix', ['/usr/sbin/postqueue', '/usr/local/sbin/postqueue', '/opt/homebrew/sbin/postqueue']],
  ['exim', ['/usr/sbin/exim', '/usr/sbin/exim4', '/usr/local/sbin/exim']],
  ['sendmail', ['/etc/mail/sendmail.cf']],
  ['iis', ['C:\\inetpub\\mailroot\\Queue']],
];

/** @throws MailConfigError */
export function openMailServer(name: string, paths: MailServerPaths): MailServer {
  if (!(MAIL_SERVERS as readonly string[]).includes(name)) {
    throw new MailConfigError(
      `The mail server ${JSON.stringify(name)} is not known. Give one of ${MAIL_SERVERS.join(', ')}.`,
    );
  }
  const known = name === 'auto' ? installed() : (name as ServerName);
  return SERVERS[known](paths);
}

/** The mail server of this machine, as far as it can be seen. */
export function installed(exists: (path: string) => boolean = existsSync, env = process.env): ServerName {
  if (env['ExchangeInstallPath'] !== undefined) return 'exchange';
  return SIGNS.find(([, paths]) => paths.some(exists))?.[0] ?? 'none';
}
