import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { openS3 } from '../../src/attachments/s3-store.js';
import type { S3Options } from '../../src/attachments/s3-options.js';
import { DEFAULTS } from '../../src/nest/options/defaults.js';
import { atEnd } from '../support/cleanup.js';
import { freePort } from '../support/free-port.js';
import { readPage } from '../support/snippets.js';

const SECRET = 'wJalrXUtnFEMI';
const options: S3Options = {
  bucket: 'mail-attachments',
  prefix: 'shop/mail',
  region: 'eu-central-1',
  forcePathStyle: true,
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: SECRET },
};
const body = (text: string): Readable => Readable.from([Buffer.from(text)], { objectMode: false });

interface Asked {
  line: string;
  headers: NodeJS.Dict<string | string[]>;
  body: string;
}

/** Answers everything with this, and keeps what it was asked. */
async function answering(status: number, text: string): Promise<{ endpoint: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let received = '';
    request.on('data', (chunk: Buffer) => (received += chunk.toString()));
    request.on('end', () => {
      asked.push({ line: `${request.method} ${request.url}`, headers: request.headers, body: received });
      response.writeHead(status, { 'content-type': 'application/xml' }).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(() => server.closeAllConnections());
  atEnd(() => server.close());
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

it('puts an object of known length as it is: no ACL, no trailing checksum, no encoding of its own', async () => {
  const { endpoint, asked } = await answering(200, '');
  await (await openS3({ ...options, endpoint })).write('blob', body('an invoice'), 10);
  const [{ line, headers, body: sent }] = asked as [Asked];
  expect(line).toMatch(/^PUT \/mail-attachments\/shop\/mail\/blob(\?|$)/);
  expect(sent).toBe('an invoice');
  expect(headers['content-length']).toBe('10');
  const others = Object.keys(headers).filter((name) => /acl|grant|checksum|trailer|content-encoding/.test(name));
  expect(others).toEqual([]);
});

it('says what the server said, asks it a bounded number of times, and tells no secret', async () => {
  const error = '<Error><Code>AccessDenied</Code><Message>Not allowed to do so</Message></Error>';
  const denied = await answering(403, error);
  const store = await openS3({ ...options, endpoint: denied.endpoint });
  const refused = (await store.read('blob').catch((reason: unknown) => reason)) as Error;
  expect(refused.message).toBe('AccessDenied (HTTP 403): Not allowed to do so');
  expect(denied.asked).toHaveLength(1);
  const away = await answering(503, '<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>');
  const slow = await openS3({ ...options, endpoint: away.endpoint });
  await expect(slow.find(['blob'])).rejects.toThrow(/HTTP 503/);
  expect(away.asked).toHaveLength(3);
  const closed = await openS3({ ...options, endpoint: `http://127.0.0.1:${await freePort()}` });
  const nobody = (await closed.write('blob', body('x'), 1).catch((reason: unknown) => reason)) as Error;
  expect(nobody.message).toContain('ECONNREFUSED');
  for (const { message, cause, stack } of [refused, nobody]) {
    expect(`${message}${String(cause)}${stack}`).not.toMatch(/AKIA|wJalr/);
  }
});

it('docs/attachments.md allows no more than the store asks for, and counts the days of its lifecycle rule right', () => {
  const page = readPage('docs/attachments.md');
  const [policy, lifecycle] = [...page.matchAll(/^```json\n([^]*?)^```$/gm)].map(
    ([, json = '']) => JSON.parse(json) as unknown,
  );
  const statements = (policy as { Statement: { Action: string | string[] }[] }).Statement;
  expect(statements.flatMap(({ Action }) => Action)).toEqual([
    's3:GetObject',
    's3:PutObject',
    's3:DeleteObject',
    's3:ListBucket',
  ]);
  const lease = (DEFAULTS.retry.maxAge + DEFAULTS.keep.failed + DEFAULTS.attachments.expireAfter) / (24 * 3_600_000);
  expect(page).toContain(`${lease} days after it was due with the defaults`);
  expect(page).toContain(`**${lease + 30} days** with the defaults`);
  const [{ Expiration }] = (lifecycle as { Rules: [{ Expiration: { Days: number } }] }).Rules;
  expect(Expiration.Days).toBeGreaterThan(lease + 30 + 90);
});
