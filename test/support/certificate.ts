import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export interface Certificate {
  /** PEM of the private key. */
  key: string;
  /** PEM of the certificate; as it signs itself, also the `ca` that a client must trust. */
  cert: string;
}

export interface CertificateOptions {
  /** Default `ec`. */
  key?: 'ec' | 'rsa';
  /** Days from now. Default from yesterday for a month. */
  valid?: readonly [from: number, to: number];
}

/** Makes a self-signed certificate for localhost and 127.0.0.1 (RFC 5280). */
export function selfSignedCertificate({ key = 'ec', valid = [-1, 30] }: CertificateOptions = {}): Certificate {
  const { privateKey, publicKey } =
    key === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const algorithm = key === 'ec' ? ecdsaWithSha256 : sha256WithRsa;
  const name = sequence(set(sequence(objectId('550403'), utf8('localhost'))));
  const content = sequence(
    explicit(0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), randomBytes(8)])),
    algorithm,
    name,
    sequence(...valid.map(time)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(extension('551d13', sequence(boolean)), extension('551d11', subjectNames))),
  );
  const signed = sequence(content, algorithm, bitString(sign('sha256', content, privateKey)));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${signed.toString('base64')}\n-----END CERTIFICATE-----\n`,
  };
}

// The few DER encodings (X.690) that a certificate needs.

function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), body]);
}

const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const set = (...parts: Buffer[]) => der(0x31, ...parts);
const explicit = (tag: number, part: Buffer) => der(0xa0 + tag, part);
const integer = (bytes: Buffer) => der(0x02, bytes);
const objectId = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const utf8 = (text: string) => der(0x0c, Buffer.from(text));
const bitString = (bytes: Buffer) => der(0x03, Buffer.of(0), bytes);
const boolean = der(0x01, Buffer.of(0xff));
const extension = (id: string, value: Buffer) => sequence(objectId(id), der(0x04, value));

const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'));
const sha256WithRsa = sequence(objectId('2a864886f70d01010b'), der(0x05));
const subjectNames = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.of(127, 0, 0, 1)));

function time(daysFromNow: number): Buffer {
  const date = new Date(Date.now() + daysFromNow * 86_400_000);
  return der(0x17, Buffer.from(`${date.toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`));
}
