import { MailConfigError } from '../../errors.js';
import { failUnseen, type OptionReader } from './reader.js';

const MIN_BYTES = 32;
const MAX_SECRETS = 10;
const REMEDY = 'Give 32 random bytes or more as text, such as `openssl rand -base64 32` prints.';

/** One secret, or a list of them, of which the first signs. @throws MailConfigError which never shows one */
export function parseSecrets(reader: OptionReader, name: string): [string, ...string[]] {
  const given = reader.raw(name);
  const path = reader.pathOf(name);
  if (!Array.isArray(given)) return [parseSecret(given, path)];
  if (given.length > MAX_SECRETS) {
    throw new MailConfigError(
      `The mail option ${path} is a list of ${given.length}. Give 1 to ${MAX_SECRETS} secrets.`,
    );
  }
  const [first, ...others] = given.map((entry: unknown, index) => parseSecret(entry, `${path}[${index}]`));
  if (first === undefined) throw new MailConfigError(`The mail option ${path} is an empty list. ${REMEDY}`);
  return [first, ...others];
}

function parseSecret(given: unknown, path: string): string {
  if (typeof given !== 'string' || given === '') return failUnseen(path, given, REMEDY);
  // As a file has it, with its line break.
  const secret = given.trim();
  const bytes = Buffer.byteLength(secret);
  if (bytes >= MIN_BYTES) return secret;
  throw new MailConfigError(`The mail option ${path} has ${bytes} bytes, fewer than ${MIN_BYTES}. ${REMEDY}`);
}
