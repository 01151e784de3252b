import 'reflect-metadata';
import { BadRequestException, ValidationPipe, type Type } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { BulkMailDto, MailMessageDto, RecipientDto } from '../../src/message/dto.js';
import { parseMessage } from '../../src/message/parse.js';
import { rules } from './rules.js';

const pipe = new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, transform: true });

/** As the body of a request comes in. */
async function receive<T>(dto: Type<T>, body: unknown): Promise<T> {
  const json: unknown = JSON.parse(JSON.stringify(body));
  return (await pipe.transform(json, { type: 'body', metatype: dto })) as T;
}

async function complaints(dto: Type<unknown>, body: unknown): Promise<string[]> {
  const refusal: unknown = await receive(dto, body).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(refusal instanceof BadRequestException)) return [];
  return (refusal.getResponse() as { message: string[] }).message;
}

const message = {
  from: { name: 'Ann', address: 'ann@shop.test' },
  to: ['bob@mail.test', { name: 'Cy', address: 'cy@mail.test' }],
  subject: '안녕',
  text: 'Hello',
  headers: { 'X-A': 'a', 'X-B': ['b', 'c'] },
  attachments: [{ filename: '명세서.txt', content: 'SGVsbG8=', encoding: 'base64' }],
  delay: '1m',
  lane: 'bulk',
};

describe('the DTOs under ValidationPipe', () => {
  it('make a message that parses as the plain one does', async () => {
    const received = await receive(MailMessageDto, message);
    expect(received).toBeInstanceOf(MailMessageDto);
    const { sendAt, ...parsed } = parseMessage(received, rules());
    expect(sendAt).toBeGreaterThan(Date.now());
    expect(parsed).toEqual({
      from: { name: 'Ann', address: 'ann@shop.test' },
      to: [
        { name: '', address: 'bob@mail.test' },
        { name: 'Cy', address: 'cy@mail.test' },
      ],
      cc: [],
      bcc: [],
      replyTo: [],
      subject: '안녕',
      text: 'Hello',
      headers: [
        ['X-A', 'a'],
        ['X-B', 'b'],
        ['X-B', 'c'],
      ],
      attachments: [{ filename: '명세서.txt', content: Buffer.from('Hello'), disposition: 'attachment' }],
      lane: 'bulk',
    });
  });

  it('take a campaign and its recipients', async () => {
    const { to: _to, lane: _lane, ...shared } = message;
    const bulk = {
      ...shared,
      id: 'news',
      groups: { acme: { footer: 'Acme' } },
      missingFields: 'empty',
      list: 'news.weekly',
    };
    expect(await receive(BulkMailDto, bulk)).toMatchObject({ id: 'news', groups: { acme: { footer: 'Acme' } } });
    const recipient = { to: 'ann@mail.test', context: { a: { b: [1] } }, group: 'acme', idempotencyKey: 'k' };
    expect(await receive(RecipientDto, recipient)).toEqual(recipient);
  });

  it('refuse what the application did not ask for', async () => {
    expect(await complaints(MailMessageDto, { ...message, admin: true })).toEqual(['property admin should not exist']);
    expect(await complaints(BulkMailDto, { subject: 'x', to: 'a@mail.test' })).toEqual([
      'property to should not exist',
    ]);
    expect(await complaints(RecipientDto, { to: 'a@mail.test', cc: 'x' })).toEqual(['property cc should not exist']);
  });

  it('look into attachments', async () => {
    const attachments = [
      { content: 'x', href: 'http://internal/' },
      { content: { type: 'Buffer', data: [1] } },
      'text',
    ];
    expect(await complaints(MailMessageDto, { to: 'a@mail.test', attachments })).toEqual([
      'attachments.0.property href should not exist',
      expect.stringContaining('attachments.1.content must be a string, a Buffer or a readable stream'),
      expect.stringContaining('attachments'),
    ]);
  });

  it('say where each fault is', async () => {
    const bad = { to: ['nobody'], subject: 'a\nb', headers: { Bcc: 'x', 'X-A': ['a', 'b\n'] }, delay: 'soon' };
    expect(await complaints(MailMessageDto, bad)).toEqual([
      'to[0] "nobody" is not an address',
      'subject must not contain CR, LF or NUL',
      'headers.Bcc is written from the message itself; use the field of that name; headers.X-A[1] must not contain CR, LF or NUL',
      "delay must be milliseconds or a string such as '30s', '15m' or '24h'",
    ]);
  });
});
