import { describe, expect, it } from 'vitest';
import { DkimSigner } from '../../src/mime/dkim.js';
import { rawOf } from '../../src/mime/encoded.js';
import { signedHeaders } from '../../src/transport/signing.js';
import { dkimKey, dkimResults } from '../support/dkim.js';

const key = dkimKey('mail', 'ed25519');
const signer = new DkimSigner([key]);
const from = 'From: no-reply@shop.test\r\n\r\n';
const sign = (headers: string, body: Buffer, signal = new AbortController().signal) =>
  signedHeaders('main', signer, { headers: Buffer.from(headers), body: [body] }, signal);

const NOT_ASKED = { name: 'TransportError', phase: 'queue', outcome: 'not-sent', permanent: false, scope: 'transport' };

describe('a transport that signs', () => {
  it('adds what is verified', async () => {
    const body = Buffer.from('Hello!\r\n');
    const headers = await sign(from, body);
    expect(await dkimResults(rawOf({ headers, body: [body] }), key)).toEqual(['pass']);
  });

  it('sends nothing that it cannot sign', async () => {
    await expect(sign('To: ann@mail.test\r\n\r\n', Buffer.from('Hello!\r\n'))).rejects.toMatchObject({
      ...NOT_ASKED,
      transport: 'main',
      reply: 'The DKIM signature could not be made: There is no From field, which a DKIM signature has to cover',
    });
  });

  it('waits for a signature no longer than the message does', async () => {
    const late = new AbortController();
    const attempt = sign(from, Buffer.alloc(4 * 1024 * 1024, 'x'), late.signal);
    late.abort(new Error('No answer within priority.timeout (10000 ms)'));
    await expect(attempt).rejects.toMatchObject({
      ...NOT_ASKED,
      reply: 'No answer within priority.timeout (10000 ms)',
    });
    await expect(sign(from, Buffer.alloc(0), late.signal)).rejects.toMatchObject(NOT_ASKED);
  });
});
