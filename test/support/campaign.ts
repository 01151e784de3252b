import fc from 'fast-check';
import { isMailAddress, type Address } from '../../src/message/address.js';
import type { Attachment, Content, Message, OwnParts } from '../../src/message/message.js';
import { headerFault } from '../../src/message/text.js';
import type { MergeData, Place } from '../../src/mime/merge.js';
import type { Letter } from '../../src/mime/plate.js';
import { escaped, lookup, template, type Template } from './templates.js';
import { defined, joined, listOf, optional, value, wild, without } from './texts.js';

/** A campaign such as validation lets through, and what each of its messages has to say. */
export interface Campaign {
  content: Content;
  options: { cc: Address[]; bcc: Address[]; merge?: 'error' | 'empty'; date: Date };
  letters: {
    letter: Letter;
    /** Undefined: a field has no value, or makes an address that is none. */ says?: Message;
  }[];
}
const headerTemplate = template('header').filter(({ text }) => headerFault(text) === undefined);
const nameTemplate = template('header', 5).filter(({ text }) => text.length <= 255 && !/\p{Cc}/u.test(text));
const name = fc.oneof(
  fc.constantFrom('', 'Ann', 'Lee, Ann', '이순신', 'O"Neil', '가'.repeat(255), 'Long Name '.repeat(20)),
  joined(wild, 4).map((text) =>
    without(text, /\p{Cc}/gu)
      .slice(0, 255)
      .toWellFormed(),
  ),
);
const ADDRESSES = [
  ...['ann@mail.test', "o'neil+tag@mail.test", 'UPPER@Mail.TEST', 'root@localhost', 'a.b.c@mail.test', '=?x@mail.test'],
  ...['ann@우편.한국', '이순신@mail.test', '이순신@우편.한국', 'ann@[127.0.0.1]'],
  `${'l'.repeat(60)}@${'d'.repeat(60)}.test`,
].filter(isMailAddress);
const mailbox = fc.record({ name, address: fc.constantFrom(...ADDRESSES) });

const sender = fc.record({
  name: nameTemplate,
  address: fc.constantFrom(
    'news@shop.test',
    '뉴스@shop.test',
    'news@{{domain}}',
    '{{owner}}',
    'news-{{count}}@shop.test',
  ),
});

const HEADERS = ['X-Campaign', 'X-Tag', 'x-tag', 'List-Unsubscribe', 'List-Unsubscribe-Post', 'List-ID', 'Precedence'];
const MORE_HEADERS = ['Auto-Submitted', 'Feedback-ID', 'X-SMTPAPI', 'Comments'];
const ID_HEADERS = ['References', 'In-Reply-To'];
const ids: Template = {
  text: '<post.{{count}}@shop.test>',
  fill: (data) => `<post.${lookup(data, 'count')}@shop.test>`,
};
const header = fc.oneof(
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...ID_HEADERS), fc.constant(ids)) },
  {
    weight: 9,
    arbitrary: fc.tuple(
      fc.oneof(fc.constantFrom(...HEADERS, ...MORE_HEADERS), fc.stringMatching(/^X-[!-9;-~]{1,20}$/)),
      fc.oneof(
        headerTemplate,
        fc.constant<Template>({
          text: '<https://shop.test/u?r={{count}}>, <mailto:u@shop.test>',
          fill: (data) => `<https://shop.test/u?r=${lookup(data, 'count')}>, <mailto:u@shop.test>`,
        }),
      ),
    ),
  },
);

const RFC822 = 'From: a@b.test\r\nSubject: =?utf-8?Q?x?=\r\n\r\nHello\r\n.\r\n';
const attachment: fc.Arbitrary<Attachment> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .record({
        filename: optional(
          fc
            .oneof(
              fc.constantFrom(
                'a.txt',
                'Rechnung Nr. 7 für 김.pdf',
                'quote".bin',
                '한'.repeat(80),
                'no extension',
                'x.html',
              ),
              joined(wild, 3).map((text) =>
                without(text, /[\r\n]/g)
                  .slice(0, 255)
                  .toWellFormed(),
              ),
            )
            .filter((text) => headerFault(text) === undefined),
        ),
        contentType: optional(
          fc.constantFrom(
            'text/plain',
            'text/plain; charset=utf-8',
            'text/html',
            'image/png',
            'application/pdf',
            'text/csv',
          ),
        ),
        cid: optional(fc.constantFrom('logo@shop.test', 'a', 'b"c', '1')),
        disposition: fc.constantFrom('attachment' as const, 'inline' as const),
        content: fc.oneof(
          fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
          joined(wild, 4).map((text) => Buffer.from(text)),
        ),
      })
      .map(defined),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('letter.eml', undefined).map((filename) => ({
      ...defined({ filename }),
      contentType: 'message/rfc822',
      disposition: 'attachment' as const,
      content: Buffer.from(RFC822),
    })),
  },
);

const data: fc.Arbitrary<MergeData> = fc.record({
  context: fc
    .record({
      name: value,
      city: value,
      이름: value,
      count: fc.integer(),
      order: fc.record({ code: value }),
      link: fc.record({ url: value }),
      maybe: optional(value, 4),
      domain: fc.oneof({ weight: 15, arbitrary: fc.constantFrom('acme.test', '우편.한국') }, value),
      owner: fc.oneof({ weight: 15, arbitrary: fc.constantFrom(...ADDRESSES) }, value),
    })
    .map(defined),
  group: fc.record({ name: value, company: value, paid: fc.boolean(), maybe: optional(value, 4) }).map(defined),
});
const letter = fc.record({
  to: fc.oneof(
    { weight: 8, arbitrary: fc.array(mailbox, { minLength: 1, maxLength: 1 }) },
    fc.array(mailbox, { maxLength: 3 }),
  ),
  data,
  // What a letter brings of its own is no template.
  own: fc.oneof(
    { weight: 8, arbitrary: fc.constant({}) },
    fc
      .record({
        subject: optional(value.map((text) => without(text, /[\r\n{]+/g)).filter((text) => !headerFault(text))),
        text: optional(value.map((text) => without(text, /\{/g))),
        html: optional(value.map((text) => without(text, /\{/g))),
      })
      .map(defined),
  ),
});

export const campaigns: fc.Arbitrary<Campaign> = fc
  .record({
    from: sender,
    replyTo: listOf(sender, 2),
    subject: headerTemplate,
    text: optional(template('text'), 4),
    html: optional(template('html'), 4),
    headers: listOf(header, 5),
    attachments: listOf(attachment, 3, 2),
    cc: listOf(mailbox, 2, 3),
    bcc: listOf(mailbox, 2, 3),
    merge: fc.constantFrom('error' as const, 'empty' as const, undefined),
    date: fc.constantFrom(new Date('2025-01-02T03:04:05Z'), new Date(0)),
    letters: fc.array(letter, { minLength: 1, maxLength: 5 }),
  })
  .map(({ letters, cc, bcc, merge, date, ...templates }) => {
    const { from, replyTo, subject, text, html, headers, attachments } = templates;
    const mailbox = ({ name, address }: Sender): Address => ({
      name: name.text,
      // It is read as it is where nothing is filled in.
      address: merge ? address : address.replace(/.*\{\{.*/, 'news@shop.test'),
    });
    const content: Content = {
      from: mailbox(from),
      replyTo: replyTo.map(mailbox),
      subject: subject.text,
      ...defined({ text: text?.text, html: html?.text }),
      headers: headers.map(([key, filling]) => [key, filling.text]),
      attachments,
    };
    return {
      content,
      options: { cc, bcc, ...defined({ merge }), date },
      letters: letters.map(({ to, data, own }): Campaign['letters'][number] => {
        if (merge === undefined) return { letter: { to, ...own }, says: { ...content, ...own, to, cc, bcc } };
        // A field without a value is an error only in what the letter does not replace.
        const filled = filledIn(templates, data, merge, own);
        const says = filled && { ...filled, to, cc, bcc };
        return { letter: { to, data, ...own }, ...defined({ says }) };
      }),
    };
  });

interface Sender {
  name: Template;
  address: string;
}

interface Templates {
  from: Sender;
  replyTo: Sender[];
  subject: Template;
  text: Template | undefined;
  html: Template | undefined;
  headers: [string, Template][];
  attachments: Attachment[];
}

function filledIn(
  { from, replyTo, subject, text, html, headers, attachments }: Templates,
  data: MergeData,
  missing: 'error' | 'empty',
  own: OwnParts,
): Content | undefined {
  const fill = (one: Template, place: Place): string => {
    const filled = one.fill(data, place, missing) ?? impossible();
    return place === 'header' && headerFault(filled) ? impossible() : filled;
  };
  const mailbox = ({ name, address }: Sender): Address => {
    const filled = address.replace(/\{\{(\w+)\}\}/g, (_, key: string) => escaped(lookup(data, key)!, 'header'));
    return { name: fill(name, 'header'), address: isMailAddress(filled) ? filled : impossible() };
  };
  try {
    return {
      from: mailbox(from),
      replyTo: replyTo.map(mailbox),
      subject: own.subject ?? fill(subject, 'header'),
      ...(text && own.text === undefined && { text: fill(text, 'text') }),
      ...(html && own.html === undefined && { html: fill(html, 'html') }),
      ...defined({ text: own.text, html: own.html }),
      headers: headers.map(([key, filling]) => [key, fill(filling, 'header')]),
      attachments,
    };
  } catch (error) {
    if (error instanceof Impossible) return undefined;
    throw error;
  }
}

class Impossible extends Error {}

function impossible(): never {
  throw new Impossible();
}
