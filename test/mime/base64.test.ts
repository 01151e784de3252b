import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Base64Writer,
  base64Lines,
  composedContent,
  encodedAttachment,
  isBase64Lines,
  sharedBase64Lines,
} from '../../src/mime/base64.js';

/** By regular expression. */
const folded = (content: Buffer): string => content.toString('base64').replace(/.{1,76}/g, '$&\r\n');

describe('base64 in lines', () => {
  it('is the same however the octets come', () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 130 }),
      fc.nat({ max: 60_000 }).map((length) => new Uint8Array(length).fill(length)),
    );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 6 }), fc.boolean(), (chunks, isKnown) => {
        const content = Buffer.concat(chunks);
        const writer = new Base64Writer(isKnown ? content.length : undefined);
        for (const one of chunks) {
          const reused = Uint8Array.from(one);
          writer.write(reused);
          reused.fill(0);
        }
        const lines = writer.end();
        expect(lines.toString('latin1') === folded(content)).toBe(true);
        expect(lines.buffer.byteLength >= lines.length && isBase64Lines(lines)).toBe(true);
        expect(base64Lines(content).equals(lines)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('an attachment that is at hand in base64', () => {
  const content = Buffer.from('A file that is read from the store, and is longer than a line of base64.');
  const lines = base64Lines(content);

  it('is decoded only for whoever looks at its content', () => {
    const attachment = encodedAttachment({ disposition: 'attachment', filename: 'a.txt' }, lines);
    const standIn = composedContent(attachment);
    expect(standIn).not.toEqual(content);
    expect(sharedBase64Lines(standIn)).toBe(lines);
    expect(attachment.content).toEqual(content);
    expect(attachment.content).toBe(attachment.content);
    expect(sharedBase64Lines(attachment.content)).toBe(lines);
    expect({ ...attachment }).toEqual({ disposition: 'attachment', filename: 'a.txt', content });
    expect(composedContent({ ...attachment })).toEqual(content);
  });
});
