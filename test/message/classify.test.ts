import 'reflect-metadata';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MailError, MailValidationError } from '../../src/errors.js';
import type { Address, AddressInput, AddressesInput } from '../../src/message/address.js';
import { decideLane, type Classifier, type Decision } from '../../src/message/classify.js';
import { markedBulk, type BulkMarkers } from '../../src/message/marked-bulk.js';
import type { MailMessageInput } from '../../src/message/message.js';
import { parseMessage } from '../../src/message/parse.js';
import { rules } from './rules.js';

const message: MailMessageInput = { to: 'ann@mail.test', subject: 'Hello' };

function decide(input: MailMessageInput, ...classify: Classifier[]): Decision {
  return decideLane(input, { defaultLane: 'priority', classify });
}

function failure(...classify: Classifier[]): MailError {
  try {
    decide(message, ...classify);
  } catch (error) {
    return error as MailError;
  }
  throw new Error('It decided');
}

describe('the lane', () => {
  const toBulk: Classifier = () => 'bulk';

  it('is the message’s, else the mail class’s, else what is classified, else the default', () => {
    const rules = { defaultLane: 'bulk', classify: [toBulk] } as const;
    const named = { ...message, lane: 'priority' } as const;
    expect(decideLane(named, rules, 'bulk')).toEqual({ lane: 'priority', by: 'message', message: named });
    expect(decideLane(message, rules, 'priority')).toEqual({ lane: 'priority', by: 'mail class', message });
    expect(decideLane(message, rules)).toEqual({ lane: 'bulk', by: 'classify: toBulk', message });
    expect(decideLane(message, { defaultLane: 'bulk' })).toEqual({ lane: 'bulk', by: 'defaultLane', message });
  });

  it('is the first classifier’s that answers, and is told with its name or place', () => {
    const asked: number[] = [];
    const silent =
      (place: number): Classifier =>
      () =>
        void asked.push(place);
    expect(decide(message, silent(0), toBulk, silent(2))).toMatchObject({ lane: 'bulk', by: 'classify: toBulk' });
    expect(asked).toEqual([0]);
    expect(decide(message, silent(0), () => 'bulk').by).toBe('classify[1]');
    const options: { classify: Classifier } = { classify: () => 'bulk' };
    expect(decide(message, options.classify).by).toBe('classify[0]');
    expect(decide(message, silent(0))).toEqual({ lane: 'priority', by: 'defaultLane', message });
  });

  it('goes with the message that the classifier gives', () => {
    const other = { ...message, subject: 'Other' };
    expect(decide(message, () => ({ lane: 'bulk', message: other })).message).toBe(other);
  });

  it('leaves a message alone that a classifier writes to', () => {
    const rude = (seen: MailMessageInput): undefined => {
      seen.subject = 'Changed';
    };
    expect(failure(rude).message).toContain('classify: rude failed: ');
    expect(message.subject).toBe('Hello');
  });

  it('is not asked of what is no message', () => {
    expect(decide(null as unknown as MailMessageInput, toBulk).by).toBe('defaultLane');
  });
});

describe('a classifier that fails', () => {
  it('is named, with its cause', () => {
    const cause = new TypeError('no such plan');
    const byPlan: Classifier = () => {
      throw cause;
    };
    expect(failure(() => undefined, byPlan)).toMatchObject({
      constructor: MailError,
      message: 'The message could not be classified, and was not sent: classify: byPlan failed: no such plan',
      ...{ code: 'CLASSIFIER', permanent: true, outcome: 'not-sent', cause },
    });
  });

  it('may refuse the message', () => {
    const refusal = new MailValidationError([{ path: 'to', message: 'is not for you' }]);
    const refuse: Classifier = () => {
      throw refusal;
    };
    expect(failure(refuse)).toBe(refusal);
  });

  it.each([
    ['"urgent"', 'urgent'],
    ['null', null],
    ['false', false],
    ['a promise', Promise.resolve('bulk')],
    ['an object without both', { lane: 'bulk' }],
    ['an object without both', { lane: 'slow', message }],
  ])('is named when it returns %s', (shown, answer) => {
    const odd = (() => answer) as Classifier;
    expect(failure(odd).message).toMatch(new RegExp(`: odd returned ${shown}\\. It may return`));
  });
});

describe('markedBulk()', () => {
  const prefix = '[Non-priority!]';
  const address = 'bulk@shop.test';
  const both = markedBulk({ subjectPrefix: prefix, address });

  it('takes out a prefix with the white space after it', () => {
    const marked = { ...message, subject: `${prefix} \t Hello ${prefix}` };
    expect(decide(marked, both)).toEqual({
      lane: 'bulk',
      by: 'classify: markedBulk',
      message: { ...message, subject: `Hello ${prefix}` },
    });
    expect(marked.subject).toContain('\t');
    expect(decide({ ...message, subject: `Re: ${prefix}` }, both).by).toBe('defaultLane');
    expect(decide({ ...message, subject: prefix.toLowerCase() }, both).by).toBe('defaultLane');
  });

  it.each<[AddressesInput, unknown]>([
    ['ann@mail.test, bulk@shop.test', [{ name: '', address: 'ann@mail.test' }]],
    ['Ann <ann@mail.test>, "Bulk, all" <BULK@Shop.Test>', [{ name: 'Ann', address: 'ann@mail.test' }]],
    [['ann@mail.test', { name: 'x', address }], ['ann@mail.test']],
    [
      ['ann@mail.test', 'not an address', 'x@y.test,Bulk@SHOP.test'],
      ['ann@mail.test', 'not an address', one('x@y.test')],
    ],
    [{ address: 'bulk@SHOP.TEST' }, []],
    ['All: ann@mail.test, bulk@shop.test;', [one('ann@mail.test')]],
  ])('takes the address out of %j', (to, rest) => {
    const { lane, message: stripped } = decide({ to, cc: 'kim@mail.test' }, both);
    expect({ lane, stripped }).toEqual({ lane: 'bulk', stripped: { to: rest, cc: 'kim@mail.test' } });
  });

  it.each(['bulk@shop.test.example', 'xbulk@shop.test', 'bulk+1@shop.test', 'Bulk <bulk@shop', 'bulk', 7, null])(
    'leaves %j alone',
    (to) => {
      const given = { to, cc: 'a@b.test' } as MailMessageInput;
      expect(decide(given, both)).toEqual({ lane: 'priority', by: 'defaultLane', message: given });
    },
  );

  it('knows an address by its domain in ASCII or not', () => {
    const marked = decide(
      { to: 'ann@mail.test', bcc: 'Bulk@BÜCHER.test' },
      markedBulk({ address: 'bulk@xn--bcher-kva.test' }),
    );
    expect(marked).toMatchObject({ lane: 'bulk', message: { to: 'ann@mail.test', bcc: [] } });
  });

  it('takes its markers out whatever decides on the lane', () => {
    const lists: Classifier = ({ headers }) => headers && 'bulk';
    const marked: MailMessageInput = { to: ['ann@mail.test', address], subject: `${prefix} Hello` };
    const plain = { to: ['ann@mail.test'], subject: 'Hello' };
    const headers = { 'List-Unsubscribe': '<mailto:x@shop.test>' };
    expect(decide({ ...marked, headers }, lists, both)).toEqual({
      lane: 'bulk',
      by: 'classify: lists',
      message: { ...plain, headers },
    });
    const named = { ...marked, lane: 'priority' } as const;
    expect(decide(named, both)).toEqual({
      lane: 'priority',
      by: 'message',
      message: { ...plain, lane: 'priority' },
    });
    const rules = { defaultLane: 'priority', classify: [both] } as const;
    expect(decideLane(marked, rules, 'priority')).toEqual({ lane: 'priority', by: 'mail class', message: plain });
    expect(marked.subject).toContain(prefix);
  });

  it('says what it was stripped to if that is no message', () => {
    const odd = Object.assign(() => undefined, { strip: () => 'nothing' as never });
    expect(failure(odd).message).toContain('classify[0] stripped it to "nothing"');
  });

  it('refuses a message without any other recipient', () => {
    for (const input of [{ to: address }, { to: [address], cc: address, bcc: [] }]) {
      expect(() => decide(input, both)).toThrow(
        'The message is invalid: to: has nobody but bulk@shop.test, which marks bulk mail and is taken out; name those who are to get the mail',
      );
    }
  });

  it.each<[string, BulkMarkers]>([
    ['has no marker', {}],
    ['is not text', { subjectPrefix: ' ' }],
    ['is not text', { subjectPrefix: 5 as unknown as string }],
    ['is not an address', { address: 'Bulk <bulk@shop.test>' }],
  ])('says at boot that it %s', (what, markers) => {
    expect(() => markedBulk(markers)).toThrow(what);
  });

  it('takes the address out of every shape, and nothing else', async () => {
    const mailbox = fc.record({
      name: fc.constantFrom('', 'Ann', 'Lee, Ann', '이순신', 'bulk'),
      address: fc.constantFrom(
        'ann@mail.test',
        'bulk@mail.test',
        '이순신@우편.한국',
        'a.b+c@shop.test',
        'UP@Mail.TEST',
      ),
    });
    const marker = fc.record({
      name: fc.constantFrom('', 'Bulk', 'Bulk, all'),
      address: fc.constantFrom('bulk@shop.test', 'BULK@shop.test', 'Bulk@SHOP.Test'),
    });
    const shape = fc.constantFrom<(all: Address[]) => AddressesInput>(
      (all) => all.map(written).join(', '),
      (all) => all.map(written),
      (all) => all.map((one): AddressInput => (one.name === '' ? { address: one.address } : { ...one })),
      (all) => [all.slice(0, 1).map(written).join(), ...all.slice(1)].filter((one) => one !== ''),
      (all) => all.map((one, index) => (index % 2 === 0 ? written(one) : one)),
    );
    const field = fc
      .tuple(fc.array(fc.oneof(mailbox, marker), { maxLength: 5 }), shape)
      .map(([all, shaped]) => ({ all, given: all.length === 0 ? undefined : shaped(all) }));
    await fc.assert(
      fc.asyncProperty(field, field, field, async (to, cc, bcc) => {
        const input = { from: 'shop@shop.test', to: to.given, cc: cc.given, bcc: bcc.given };
        const before = structuredClone(input);
        const isMarker = (one: Address): boolean => one.address.toLowerCase() === address;
        const left = [to, cc, bcc].map(({ all }) => all.filter((one) => !isMarker(one)));
        if (left.flat().length === 0) return;
        const decision = decide(input, both);
        const marked = [to, cc, bcc].some(({ all }) => all.some(isMarker));
        expect(decision.lane).toBe(marked ? 'bulk' : 'priority');
        const parsed = parseMessage(decision.message, rules());
        expect([parsed.to, parsed.cc, parsed.bcc]).toEqual(left);
        expect(input).toEqual(before);
      }),
    );
  });
});

function one(address: string): Address {
  return { name: '', address };
}

/** As a header has it. */
function written({ name, address }: Address): string {
  return name === '' ? address : `"${name}" <${address}>`;
}
