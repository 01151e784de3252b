import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import type { BulkMailInput } from '../../src/message/message.js';
import { parseBulk } from '../../src/message/parse.js';
import { faultsOf, rules } from './rules.js';

const good = { subject: 'Hi {{name}}', text: 'Hi', recipients: [] };
const parse = async (extra: object, limits = {}) => Promise.resolve(parseBulk({ ...good, ...extra }, rules(limits)));
const faults = (extra: object, limits = {}) => faultsOf(parse(extra, limits));

describe('parseBulk', () => {
  it('takes the shared part, and leaves recipients, signal and callback alone', async () => {
    const recipients = {
      [Symbol.asyncIterator]: () => {
        throw new Error('It reads the recipients');
      },
    };
    const extra = { recipients, signal: new AbortController().signal, onProgress: () => undefined };
    expect(await parse({ ...extra, id: 'news_2025-01', name: '새 소식', list: 'news.weekly', urgency: 'low' })).toEqual(
      {
        from: { name: 'Shop', address: 'no-reply@shop.test' },
        replyTo: [],
        subject: 'Hi {{name}}',
        text: 'Hi',
        headers: [],
        attachments: [],
        groups: {},
        missingFields: 'error',
        id: 'news_2025-01',
        name: '새 소식',
        list: 'news.weekly',
        urgency: 'low',
      },
    );
  });

  it('takes merge fields in sender, reply-to and header values', async () => {
    const extra = {
      from: '{{company.name}} <news@{{company.domain}}>',
      replyTo: ['{{author}}@shop.test', { name: '{{company.name}}', address: '{{reply}}' }],
      headers: { 'X-Post': '{{post}}' },
    };
    expect(await parse(extra)).toMatchObject({
      from: { name: '{{company.name}}', address: 'news@{{company.domain}}' },
      replyTo: [
        { name: '', address: '{{author}}@shop.test' },
        { name: '{{company.name}}', address: '{{reply}}' },
      ],
      headers: [['X-Post', '{{post}}']],
    });
  });

  it('refuses to, cc and bcc: each recipient gets a mail of their own', async () => {
    const refusal = 'each recipient gets a mail of their own; use recipients';
    const copies = { to: 'ann@mail.test', cc: 'ann@mail.test', bcc: 'nobody' };
    expect(await faults(copies)).toEqual(['to', 'cc', 'bcc'].map((field) => `${field}: ${refusal}`));
    expect(await faults({ to: undefined, cc: null })).toEqual([]);
  });

  it('lists every fault at once', async () => {
    const bad = {
      recipients: 'ann@mail.test',
      id: 'a b',
      list: 'a b',
      name: 'a\nb',
      lane: 'bulk',
      missingFields: 'keep',
      html: 5,
    };
    expect(await faults({ ...bad, cc: 'x', groups: { a: 5 } })).toEqual(
      expect.arrayContaining([
        'cc: each recipient gets a mail of their own; use recipients',
        'groups.a: must be an object',
        'html: must be a string',
        'id: must be 1 to 64 letters, digits, _ or -',
        'lane: is not a known field',
        'list: must be 1 to 64 letters, digits, ., _ or -',
        'missingFields: must be one of the following values: error, empty',
        'name: must not contain CR, LF or NUL',
        'recipients: must be an iterable or async iterable of { to, context? }',
      ]),
    );
  });

  it.each([undefined, null, 'abc', {}, 5])('needs recipients it can iterate, not %j', async (recipients) => {
    expect(await faults({ recipients })).toEqual([
      'recipients: must be an iterable or async iterable of { to, context? }',
    ]);
  });

  it.each(['', 'a.b', 'a:b', 'a b', '한국', 'x'.repeat(65)])('refuses the id %j, which ends in job ids', async (id) => {
    expect(await faults({ id })).toEqual(['id: must be 1 to 64 letters, digits, _ or -']);
  });

  it.each([null, undefined, 'text'])('may get %j', async (input) => {
    expect(await faultsOf(() => parseBulk(input as unknown as BulkMailInput, rules()))).not.toEqual([]);
  });
});

it('refuses what is for merge fields where nothing is merged', async () => {
  const campaign = { recipients: [], missingFields: 'empty', groups: { a: {} } } as const;
  const missingFields = 'missingFields: is for merge fields; a template has the option templates.strict';
  expect(await faultsOf(() => parseBulk({ ...campaign, template: 'news' }, rules()))).toEqual([missingFields]);
  expect(await faultsOf(() => parseBulk(campaign, rules(), { name: 'news' }))).toEqual([
    missingFields,
    'groups: is for merge fields and templates; a mail class takes data',
  ]);
});

describe('groups', () => {
  it('are cleaned as contexts are', async () => {
    const groups = { acme: { footer: 'Acme \ud83d', since: new Date(0) }, 'b\ud83d': {} };
    expect((await parse({ groups })).groups).toEqual({
      acme: { footer: 'Acme \ufffd', since: '1970-01-01T00:00:00.000Z' },
      'b\ufffd': {},
    });
  });

  it('hold nothing that a store would refuse', async () => {
    const groups = { nul: { a: ['\0'] }, map: { a: new Map() }, list: [], text: 'x', 'nul\0': {} };
    expect(await faults({ groups })).toEqual([
      'groups.nul: contains a NUL character',
      'groups.map: contains a Map, which JSON cannot carry',
      'groups.list: must be an object',
      'groups.text: must be an object',
      expect.stringMatching(/^groups\.nul\0: the key must be /),
    ]);
    expect(await faults({ groups: JSON.parse('{"__proto__":{"a":1}}') as object })).toHaveLength(1);
    expect(await faults({ groups: [] })).toEqual(['groups: must be an object']);
  });

  it('are limited in number and size', async () => {
    expect(await faults({ groups: { a: {}, b: {} } }, { groups: 1 })).toEqual([
      'groups: 2 groups, more than limits.groups (1)',
    ]);
    expect(await faults({ groups: { a: { b: '가' } } }, { contextBytes: 10 })).toEqual([
      'groups.a: is larger than limits.contextBytes (10)',
    ]);
  });
});
