import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import { Preparation } from '../../src/delivery/preparation.js';
import { UnsubscribeLinks } from '../../src/feedback/unsubscribe-links.js';
import { UnsubscribeTokens } from '../../src/feedback/unsubscribe-token.js';
import { messageIdHeader } from '../../src/message/ids.js';
import type { OwnParts } from '../../src/message/message.js';
import { compose } from '../../src/mime/compose.js';
import { base64Lines } from '../../src/mime/base64.js';
import { rawOf } from '../../src/mime/encoded.js';
import type { MailJob } from '../../src/queue/backend.js';
import type { Batch } from '../../src/queue/batch.js';
import { workOf } from '../../src/queue/batch-work.js';
import type { Blobs } from '../../src/queue/blobs.js';
import { Lease } from '../../src/queue/lease.js';
import { Supplier } from '../../src/queue/supplies.js';
import { inOrder } from '../../src/transport/dispatch.js';
import type { Routes } from '../../src/transport/route.js';
import { rules } from '../message/rules.js';
import { plainMessage } from '../support/message.js';
import { readings } from '../support/readings.js';

const from = { name: 'Shop', address: 'shop@shop.test' };
const attachment = { filename: 'a.txt', disposition: 'attachment' as const };
const content = Buffer.from('attached');
const date = new Date('2026-01-02T03:04:05Z');

const RENDERED: OwnParts[] = [
  { subject: 'Plain', text: 'Hello\r\nthere.\n.\n', html: '<p>Hello</p>' },
  { subject: '새 글 '.repeat(40), text: '안녕하세요\n'.repeat(50), html: '<p>안녕하세요</p>' },
  { subject: '', text: 'Only text' },
  { subject: 'Nothing but a subject' },
  { subject: 'x'.repeat(800), text: '', html: `<p>${'long '.repeat(500)}</p>` },
  { text: '=_ --=_ {{name}}', html: 'é'.repeat(100) },
];

it('what was rendered reads as nodemailer composes it, with what all messages share', async () => {
  const batch: Batch = {
    v: 4,
    id: 'c-0',
    createdAt: date.getTime(),
    urgency: 'low',
    shared: {
      ...{ from, replyTo: [], headers: [['X-Kind', 'news']], cc: [], bcc: [] },
      attachments: [{ ...attachment, blob: 'hash', bytes: content.length }],
      source: { kind: 'mail', name: 'any' },
    },
    items: RENDERED.map((_, index) => ({ to: `reader${index}@mail.test`, context: index })),
  };
  const renderer = {
    missing: () => undefined,
    render: ({ context }: { context?: unknown }) => Promise.resolve(RENDERED[context as number]),
  };
  const preparation = new Preparation(renderer, rules());
  const work = workOf(batch, { blobs: new Map([['hash', base64Lines(content)]]), dispatch: inOrder([]), preparation });
  for (const [index, { subject = '', text, html }] of RENDERED.entries()) {
    const derived = text ?? (html === undefined ? undefined : html);
    const message = plainMessage({
      from,
      to: [{ name: '', address: `reader${index}@mail.test` }],
      headers: [['X-Kind', 'news']],
      attachments: [{ ...attachment, content }],
      subject,
      ...(derived === undefined ? {} : { text: derived }),
      ...(html === undefined ? {} : { html }),
    });
    const stamp = { messageId: messageIdHeader(`c-0.${index}`, from.address), date };
    const written = await work.write(index);
    expect(written.sender).toBe(from.address);
    expect(await readings(rawOf(written))).toEqual(await readings(rawOf(await compose(message, stamp))));
  }
});

describe('mails with a link to unsubscribe', () => {
  const links = new UnsubscribeLinks(
    new UnsubscribeTokens(['a secret of the test, of 32 bytes at least']),
    90 * 24 * 3_600_000,
  );
  const ways = { url: 'https://shop.test/u', mailto: 'mailto:out@shop.test', oneClick: true };
  const reader = { name: 'Ann', address: `${'long.'.repeat(12)}@shop.test`.replace('.@', '@') };
  const batch: Batch = {
    ...{ v: 2, id: 'c-0', createdAt: date.getTime(), urgency: 'low', merge: 'error' },
    shared: {
      ...{ from, replyTo: [], headers: [['X-Kind', 'news']], cc: [], bcc: [], attachments: [] },
      ...{ subject: 'News', html: '<a href="{{unsubscribeUrl}}">', text: 'Out: {{unsubscribeUrl}}' },
      ...{ list: 'news', unsubscribe: ways },
    },
    items: [{ to: [reader], context: { unsubscribeUrl: 'https://other.test' } }],
  };
  const nothing = { missing: () => undefined, render: () => Promise.reject(new Error('nothing to render')) };

  it('read as nodemailer composes them, and are the same at each try', async () => {
    const preparation = new Preparation(nothing, rules(), undefined, links);
    const written = async (): Promise<Buffer> => {
      const work = workOf(batch, { blobs: new Map(), dispatch: inOrder([]), preparation });
      return rawOf(await work.write(0));
    };
    const about = { address: reader.address, id: 'c-0.0', list: 'news', date: date.getTime() };
    const { url, headers } = links.of(ways, about);
    const message = plainMessage({
      ...{ from, to: [reader], subject: 'News', html: `<a href="${url}">`, text: `Out: ${url}` },
      headers: [['X-Kind', 'news'], ...headers, ['List-Id', '<news.shop.test>']],
    });
    const stamp = { messageId: messageIdHeader('c-0.0', from.address), date };
    expect(await readings(await written())).toEqual(await readings(rawOf(await compose(message, stamp))));
    expect(await readings(await written())).toEqual(await readings(await written()));
  });

  it('wait for a worker that has the secret', async () => {
    const blobs = { get: () => Promise.resolve({ blobs: new Map<string, never>() }) } as unknown as Blobs;
    const supplier = new Supplier(blobs, {} as Routes, new Preparation(nothing, rules()));
    expect((await supplier.of(batch)).blocked).toMatch(/no mail option unsubscribe\.secret/);
  });
});

it('a batch that was given back is not held any more', () => {
  const job = { processedOn: Date.now(), extendLock: () => Promise.resolve(1) } as unknown as MailJob;
  const lease = new Lease(job, 'token', 60_000);
  expect(lease.held).toBe(true);
  lease.end();
  expect(lease.held).toBe(false);
});
