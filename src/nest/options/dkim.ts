import { createPrivateKey, type KeyObject } from 'node:crypto';
import { types } from 'node:util';
import { MailConfigError } from '../../errors.js';
import { asciiDomain } from '../../message/address.js';
import { DkimSigner, SIGNED_FIELDS, type DkimKey } from '../../mime/dkim.js';
import { fail, failUnseen, OptionReader } from './reader.js';

/** A DKIM key. Its public half is published as a TXT record of `<keySelector>._domainkey.<domainName>` (RFC 6376 §3.6.2). */
export interface DkimKeyConfig {
  /** The domain that signs; that of `from`, or one above it. */
  domainName: string;
  keySelector: string;
  /** RSA of at least 1,024 bits, or Ed25519 (RFC 8463), as PEM text or a KeyObject. Read once, at boot. */
  privateKey: string | KeyObject;
}

/** What a transport's signatures have in common. */
export interface DkimSignatureConfig {
  /** The header fields to sign where a message has them, such as `'From:To:Subject'`; From among them. Default: RFC 6376 §5.4.1. */
  headerFieldNames?: string;
  /** Of those, the ones to leave out. Default: none. */
  skipFields?: string;
  /** There is no other. */
  hashAlgo?: 'sha256';
}

/** A signature of each key. */
export interface DkimKeysConfig extends DkimSignatureConfig {
  keys: readonly DkimKeyConfig[];
}

export type DkimConfig = (DkimKeyConfig & DkimSignatureConfig) | DkimKeysConfig;

const LABEL = /^(?!-)[a-z\d_-]{1,63}(?<!-)$/i;
/** RFC 5322 §2.2 allows more, such as the comma of a list that was to have colons. */
const FIELD_NAME = /^[\w-]+$/;
/** RFC 8301 §3.2. */
const MIN_RSA_BITS = 1024;

/**
 * The signer of one transport. Its keys are read here, once.
 *
 * @param unsigned header fields that the provider replaces, so that a signature over them would break
 * @throws MailConfigError
 */
export function parseDkim(parent: OptionReader, unsigned: readonly string[] = []): DkimSigner | undefined {
  const given = parent.raw('dkim');
  if (given === undefined) return undefined;
  const reader = sectionUnseen(given, parent.pathOf('dkim'));
  const keys = reader.raw('keys') === undefined ? [parseKey(reader)] : parseKeys(reader);
  reader.oneOf('hashAlgo', ['sha256'], 'sha256');
  const fields = parseFields(reader).filter((name) => !unsigned.includes(name));
  reader.end();
  return new DkimSigner(keys, fields);
}

function parseKeys(reader: OptionReader): DkimKey[] {
  const path = reader.pathOf('keys');
  const given = reader.raw('keys');
  const remedy = 'Give a list of { domainName, keySelector, privateKey }.';
  if (typeof given === 'string') failUnseen(path, given, remedy);
  if (!Array.isArray(given) || given.length === 0) fail(path, given, remedy);
  return given.map((entry: unknown, index) => {
    const key = sectionUnseen(entry, `${path}[${index}]`);
    const parsed = parseKey(key);
    key.end();
    return parsed;
  });
}

/** Whoever gives something else may have given the key itself. */
function sectionUnseen(given: unknown, path: string): OptionReader {
  if (typeof given !== 'object') failUnseen(path, given, 'Give an object { domainName, keySelector, privateKey }.');
  return new OptionReader(given, path);
}

function parseKey(reader: OptionReader): DkimKey {
  const domainName = asciiDomain(reader.string('domainName') ?? '');
  if (!isName(domainName) || !domainName.includes('.')) {
    fail(reader.pathOf('domainName'), reader.raw('domainName'), 'Give the domain that signs, such as shop.example.');
  }
  const keySelector = reader.string('keySelector') ?? '';
  if (!isName(keySelector)) {
    fail(
      reader.pathOf('keySelector'),
      reader.raw('keySelector'),
      'Give the name before ._domainkey in the DNS, such as mail2026.',
    );
  }
  return { domainName, keySelector, privateKey: parsePrivateKey(reader) };
}

function isName(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => LABEL.test(label));
}

function parsePrivateKey(reader: OptionReader): KeyObject {
  const path = reader.pathOf('privateKey');
  const given = reader.raw('privateKey');
  if (typeof given !== 'string' && !types.isKeyObject(given)) {
    failUnseen(path, given, 'Give a private key as PEM text, or a KeyObject of node:crypto.');
  }
  const key = typeof given === 'string' ? readPem(path, given) : given;
  if (key.type !== 'private') refuse(path, `a ${key.type} key`, 'Give the private key.');
  if (key.asymmetricKeyType === 'ed25519') return key;
  if (key.asymmetricKeyType !== 'rsa') {
    refuse(path, `a key of type ${key.asymmetricKeyType}`, 'Give an RSA or Ed25519 key.');
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_RSA_BITS) {
    refuse(path, `an RSA key of ${bits} bits`, `Give one of 2048 bits; less than ${MIN_RSA_BITS} no verifier accepts.`);
  }
  return key;
}

function readPem(path: string, pem: string): KeyObject {
  // OpenSSL would ask for the passphrase on the terminal.
  if (pem.includes('ENCRYPTED')) {
    refuse(path, 'an encrypted key', 'Give createPrivateKey({ key, passphrase }) of node:crypto.');
  }
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const remedy = 'Give a private key as PEM text with its line breaks, not the path of its file.';
    return refuse(path, pem === '' ? 'empty' : 'a string that is no private key', remedy, { cause });
  }
}

function parseFields(reader: OptionReader): string[] {
  const signed = parseNames(reader, 'headerFieldNames') ?? SIGNED_FIELDS;
  const skipped = parseNames(reader, 'skipFields') ?? [];
  const fields = signed.filter((name) => !skipped.includes(name));
  if (!fields.includes('from')) {
    const culprit = skipped.includes('from') ? 'skipFields' : 'headerFieldNames';
    fail(reader.pathOf(culprit), reader.raw(culprit), 'From has to be signed (RFC 6376 §5.4).');
  }
  return fields;
}

/** `'From:To:Subject'` in lower case. */
function parseNames(reader: OptionReader, option: string): string[] | undefined {
  const names = reader
    .string(option)
    ?.split(':')
    .map((name) => name.trim().toLowerCase());
  if (names?.every((name) => FIELD_NAME.test(name)) ?? true) return names;
  return fail(reader.pathOf(option), reader.raw(option), "Give names of header fields, such as 'From:To:Subject'.");
}

/** Without the value, which may hold a key. @throws MailConfigError always */
function refuse(path: string, what: string, remedy: string, options: { cause?: unknown } = {}): never {
  throw new MailConfigError(`The mail option ${path} is ${what}. ${remedy}`, options);
}
