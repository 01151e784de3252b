import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { MailConfigError, reasonOf } from '../../errors.js';

/** The environment variable that holds the token. */
export const TOKEN_VARIABLE = 'PRIORITY_MAIL_AGENT_TOKEN';

const MIN_LENGTH = 16;

export interface TokenOptions {
  /** The token itself. What stands on a command line can be read by every user of the machine. */
  token?: string | undefined;
  /** A file that holds nothing else. */
  tokenFile?: string | undefined;
  /** Answers without a token, which is allowed on loopback only. */
  noToken?: boolean | undefined;
}

/** Whether a request with this Authorization header may see the status. */
export type Admission = (authorization: string | undefined) => boolean;

/** @throws MailConfigError there is no token, or one that is too short */
export async function openAdmission(options: TokenOptions, host: string): Promise<Admission> {
  if (options.noToken) {
    if (isLoopback(host)) return () => true;
    throw new MailConfigError(
      `Without a token the status agent listens on this machine alone, not on ${host}. Give it a token.`,
    );
  }
  const token = options.token ?? (await fromFile(options.tokenFile)) ?? process.env[TOKEN_VARIABLE] ?? '';
  if (token === '') {
    throw new MailConfigError(
      `The status agent has no token. Put one into ${TOKEN_VARIABLE} or a file, such as what \`openssl rand -hex 24\` prints.`,
    );
  }
  // RFC 6750 §2.1.
  if (token.length < MIN_LENGTH || !/^[\w.~+/-]+=*$/.test(token)) {
    throw new MailConfigError(
      `The token of the status agent needs at least ${MIN_LENGTH} characters: letters, digits and any of '-._~+/'.`,
    );
  }
  const expected = digest(`Bearer ${token}`);
  return (authorization = '') => timingSafeEqual(digest(authorization.replace(/^bearer +/i, 'Bearer ')), expected);
}

/** Whether a host to listen on is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

async function fromFile(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new MailConfigError(`The token cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

/** Of equal length, whatever was sent. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
