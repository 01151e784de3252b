import fc from 'fast-check';
import MailComposer from 'nodemailer/lib/mail-composer';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/message/message.js';
import { compose } from '../../src/mime/compose.js';
import { rawOf, type Encoded } from '../../src/mime/encoded.js';
import { MergeError } from '../../src/mime/merge.js';
import { Press } from '../../src/mime/press.js';
import { campaigns, type Campaign } from '../support/campaign.js';
import { readings, strictReading, text, type Reading } from '../support/readings.js';

/** `FC_RUNS` campaigns of a few messages each; other ones each time when it is set. `FC_SEED` repeats a failure. */
const { FC_RUNS, FC_SEED } = process.env;
const numRuns = Number(FC_RUNS ?? 400);
const parameters = { numRuns, ...(FC_RUNS && !FC_SEED ? {} : { seed: Number(FC_SEED ?? 1) }) };
const timeout = Math.max(60_000, numRuns * 60);

type Printer = Pick<Press, 'message' | 'print'>;

class Tally {
  compiled = 0;
  readonly excused = new Map<string, number>();

  excuse(reason: string): void {
    this.excused.set(reason, (this.excused.get(reason) ?? 0) + 1);
  }

  /** The share of those that were not compiled. */
  get share(): number {
    const excused = [...this.excused.values()].reduce((sum, count) => sum + count, 0);
    return excused / (excused + this.compiled);
  }
}

/** Why a message may be none that can be compiled. */
function excuseFor({ text, html, attachments }: Message): string | undefined {
  if (text === '' || html === '') return 'an empty part';
  if (text === undefined && html === undefined) return 'no body';
  return attachments.some(({ contentType }) => contentType?.startsWith('message/')) ? 'an attached message' : undefined;
}

/** @throws on the first letter that is printed as another mail than nodemailer composes, or as one that is not legal */
async function check({ options, letters }: Campaign, press: Printer, tally = new Tally()): Promise<void> {
  const printed: { encoded: Encoded; bytes: Buffer; says: Message; messageId: string }[] = [];
  for (const [index, { letter, says }] of letters.entries()) {
    const messageId = `<p_${index}@shop.test>`;
    if (!says) {
      expect(() => press.message(letter)).toThrow(MergeError);
      expect(() => press.print(letter, messageId) ?? press.message(letter)).toThrow(MergeError);
      continue;
    }
    same(unified(press.message(letter)), unified(says));
    const encoded = press.print(letter, messageId);
    if (encoded) {
      tally.compiled++;
      printed.push({ encoded, bytes: rawOf(encoded), says, messageId });
    } else {
      const excuse = excuseFor(says);
      if (excuse === undefined) throw new Error('is not compiled, for no reason to be seen');
      tally.excuse(excuse);
    }
  }
  for (const { encoded, bytes, says, messageId } of printed) {
    if (!rawOf(encoded).equals(bytes)) throw new Error('a later letter was written over an earlier one');
    if (encoded.headers.length !== bytes.indexOf('\r\n\r\n') + 4) throw new Error('the headers end elsewhere');
    const expected = await nodemailers(says, messageId, options.date);
    const ruling = rule(bytes);
    const reference = rule(expected);
    if (reference.reading) same(ruling, reference);
    else if (!NODEMAILERS_FAULTS.test(reference.broken!)) throw new Error(`nodemailer: ${reference.broken}`);
    else if (ruling.broken && !TOLERATED.test(ruling.broken)) throw new Error(ruling.broken);
    if (ruling.reading) {
      if (says.text) same(leaf(ruling.reading, 'text/plain'), text(says.text));
      if (says.html) same(leaf(ruling.reading, 'text/html'), text(says.html));
    }
    const read = await readings(bytes);
    same(read, await readings(expected));
    const composed = rawOf(await compose(says, { messageId, date: options.date }));
    if (withoutBoundary(composed) !== withoutBoundary(expected)) same(read, await readings(composed));
  }
}

/**
 * nodemailer folds a line in the middle of many spaces (RFC 5322 §3.2.2), folds a word only where it has a space, and lets
 * through what a caller may have meant as an encoded word.
 */
const NODEMAILERS_FAULTS =
  /^(a folded line of white space|a line of \d+ octets|illegal (base64|quoted)|half a character)/;
/** Those of them that are ours as well, in the same messages. */
const TOLERATED = /^(a folded line of white space|illegal (base64|quoted)|half a character)/;

/** The same message from nodemailer itself, as its stream makes it. */
function nodemailers(message: Message, messageId: string, date: Date): Promise<Buffer> {
  return new MailComposer({
    // A CR that stands alone is a line's end for us, and for nodemailer a character that no mail may have.
    ...unified(message),
    bcc: [],
    headers: message.headers.map(([key, value]) => ({ key, value })),
    attachments: message.attachments.map(({ disposition, ...rest }) => ({ ...rest, contentDisposition: disposition })),
    messageId,
    date,
    newline: '\r\n',
  })
    .compile()
    .build();
}

function unified(message: Message): object {
  const lines = (body?: string): string | undefined => body?.replace(/\r\n?/g, '\n');
  return { ...message, text: lines(message.text), html: lines(message.html) };
}

function withoutBoundary(raw: Buffer): string {
  return raw.toString('latin1').replace(/_NmP-[0-9a-f]+-/g, '');
}

function rule(raw: Buffer): { reading?: Reading; broken?: string } {
  try {
    return { reading: strictReading(raw) };
  } catch (error) {
    return { broken: (error as Error).message };
  }
}

/** The body of the first such part. */
function leaf({ type, body, parts }: Reading, wanted: string): Reading['body'] | undefined {
  if (type === wanted) return body;
  return parts.map((part) => leaf(part, wanted)).find((found) => found !== undefined);
}

/** `expect` is slow where there is nothing to complain about. */
function same(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}

describe('Press', () => {
  it(
    'prints the mail that nodemailer composes',
    async () => {
      const tally = new Tally();
      await fc.assert(
        fc.asyncProperty(campaigns, (campaign) =>
          check(campaign, new Press(campaign.content, campaign.options), tally),
        ),
        parameters,
      );
      expect(tally.compiled).toBeGreaterThan(numRuns * 2);
      expect(tally.share, JSON.stringify([...tally.excused])).toBeLessThan(0.1);
    },
    timeout,
  );
});

describe('the check of that', () => {
  const inHeaders = (from: RegExp, to: string) => (letter: Encoded) => ({
    ...letter,
    headers: Buffer.from(letter.headers.toString('latin1').replace(from, to), 'latin1'),
  });
  const inBody = (from: RegExp, to: string) => (letter: Encoded) => ({
    ...letter,
    body: [Buffer.from(Buffer.concat(letter.body).toString('latin1').replace(from, to), 'latin1')],
  });
  let before: Encoded | undefined;
  const swap = (letter: Encoded): Encoded => {
    const last = before ?? letter;
    before = letter;
    return last;
  };

  it.each<[string, (letter: Encoded) => Encoded | undefined]>([
    ['a header that is missing', inHeaders(/^To: .*\r\n(?:[ \t].*\r\n)*/m, '')],
    ['a header that is there twice', inHeaders(/^(Subject: .*\r\n(?:[ \t].*\r\n)*)/m, '$1$1')],
    ['a fold without its space', inHeaders(/\r\n[ \t]/, '\r\n')],
    ['an encoded word that is cut', inHeaders(/=\?=/, '?=')],
    ['UTF-8 in a header', inHeaders(/^Subject: /m, 'Subject: \xc3\xa9')],
    ['a header ended by LF alone', inHeaders(/\r\n/, '\n')],
    ['a line that is too long', inBody(/=\r\n/, '')],
    ['a space at the end of a line', inBody(/(?<=\w)\r\n/, ' \r\n')],
    ['a dot that was doubled', inBody(/^\./m, '..')],
    ['an escape in lower case', inBody(/=C3/, '=c3')],
    ['a base64 line that is too long', inBody(/(?<=[\w+/]{76})\r\n(?=[\w+/]{8})/, '')],
    ['a body that does not end its line', inBody(/\r\n$/, '')],
    ['a boundary that is not its own', inHeaders(/boundary="/, 'boundary="x')],
    ['the letter before', (letter) => swap(letter)],
    ['nothing at all', () => undefined],
  ])('finds %s', async (_, spoil) => {
    before = undefined;
    const property = fc.asyncProperty(campaigns, async (campaign) => {
      const press = new Press(campaign.content, campaign.options);
      const printer: Printer = {
        message: (letter) => press.message(letter),
        print: (letter, id) => {
          const encoded = press.print(letter, id);
          return encoded && spoil(encoded);
        },
      };
      await check(campaign, printer);
    });
    const { failed } = await fc.check(property, { seed: 1, numRuns: 300, endOnFailure: true });
    expect(failed).toBe(true);
  });
});
