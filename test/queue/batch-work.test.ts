import 'reflect-metadata';
import { expect, it } from 'vitest';
import { Preparation } from '../../src/delivery/preparation.js';
import { messageIdHeader } from '../../src/message/ids.js';
import type { OwnParts } from '../../src/message/message.js';
import { compose } from '../../src/mime/compose.js';
import { rawOf } from '../../src/mime/encoded.js';
import type { MailJob } from '../../src/queue/backend.js';
import type { Batch } from '../../src/queue/batch.js';
import { workOf } from '../../src/queue/batch-work.js';
import { Lease } from '../../src/queue/lease.js';
import { inOrder } from '../../src/transport/dispatch.js';
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
  const work = workOf(batch, { blobs: new Map([['hash', content]]), dispatch: inOrder([]), preparation });
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

it('a batch that was given back is not held any more', () => {
  const job = { processedOn: Date.now(), extendLock: () => Promise.resolve(1) } as unknown as MailJob;
  const lease = new Lease(job, 'token', 60_000);
  expect(lease.held).toBe(true);
  lease.end();
  expect(lease.held).toBe(false);
});
