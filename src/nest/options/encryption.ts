import { createHash, createSecretKey } from 'node:crypto';
import { MailConfigError } from '../../errors.js';
import { Sealer, UNSEALED, type SealingKey } from '../../store/sealing.js';
import { failUnseen, OptionReader } from './reader.js';

const KEY_ID = /^[\w.-]{1,32}$/;
const HEX = /^[\da-f]{64}$/i;
const BASE64 = /^[\w+/-]{43}=?$/;
const REMEDY = 'Give 32 random bytes as base64 or hex, such as `openssl rand -base64 32` prints.';

/** What seals, and what else opens. Keys are read here, once. @throws MailConfigError which never shows one */
export function parseEncryption(parent: OptionReader): Sealer {
  const given = parent.raw('encryptionKey');
  const path = parent.pathOf('encryptionKey');
  if (given === undefined) {
    // An environment variable that is not set must not store in the clear what was to be encrypted.
    if (parent.has('encryptionKey')) failUnseen(path, given, `${REMEDY} To encrypt nothing, leave the option out.`);
    return UNSEALED;
  }
  if (!Array.isArray(given)) return new Sealer([parseKey(given, path)]);
  if (given.length === 0) throw new MailConfigError(`The mail option ${path} is an empty list. ${REMEDY}`);
  const keys = given.map((entry: unknown, index) => parseKey(entry, `${path}[${index}]`));
  const ids = keys.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) {
    throw new MailConfigError(`The mail option ${path} has two keys with the id ${twice}. Give each one of its own.`);
  }
  return new Sealer(keys);
}

function parseKey(given: unknown, path: string): SealingKey {
  if (typeof given === 'string') {
    const secret = parseSecret(given, path);
    return { id: createHash('sha256').update(secret).digest('hex').slice(0, 8), key: createSecretKey(secret) };
  }
  if (typeof given !== 'object' || given === null) failUnseen(path, given, `${REMEDY} Or give { id, key }.`);
  const reader = new OptionReader(given, path);
  const id = reader.raw('id');
  const key = reader.raw('key');
  if (typeof id !== 'string' || !KEY_ID.test(id)) {
    throw new MailConfigError(
      `The mail option ${reader.pathOf('id')} is no name. Give 1 to 32 letters, digits, '.', '_' or '-', such as '2026-05'.`,
    );
  }
  if (typeof key !== 'string') failUnseen(reader.pathOf('key'), key, REMEDY);
  reader.end();
  return { id, key: createSecretKey(parseSecret(key, reader.pathOf('key'))) };
}

function parseSecret(given: string, path: string): Buffer {
  // As a file has it, with its line break.
  const text = given.trim();
  if (HEX.test(text)) return Buffer.from(text, 'hex');
  if (BASE64.test(text)) return Buffer.from(text, 'base64');
  if (text === '') return failUnseen(path, '', REMEDY);
  throw new MailConfigError(
    `The mail option ${path} is a string of ${text.length} characters, and no such key. ${REMEDY}`,
  );
}
