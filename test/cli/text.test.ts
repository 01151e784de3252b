import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csvRecord, plainCell } from '../../src/message/csv.js';
import { age, facts, printable, table } from '../../src/cli/text.js';

describe('text for a person', () => {
  it('aligns the columns of a table, and leaves no space at the end of a line', () => {
    expect(
      table([
        ['name', 'result', 'error'],
        ['main', 'ok', ''],
        ['far away', 'failed', 'no'],
      ]).split('\n'),
    ).toEqual(['name      result  error', 'main      ok', 'far away  failed  no']);
  });

  it('aligns facts, and leaves out what is not known', () => {
    expect(facts('Campaign c: running', { sent: '5', 'last error': undefined, queued: '12' }).split('\n')).toEqual([
      'Campaign c: running',
      '  sent    5',
      '  queued  12',
    ]);
  });

  it("keeps a server's control characters from the terminal", () => {
    expect(printable('550 \u001b[2J\u0007No\r\nsuch\u009b user\n')).toBe('550 [2J No such user');
    expect(table([['reply'], ['550 a\u001b[31mb']])).toBe('reply\n550 a [31mb');
  });

  it.each([
    [30, '30 s'],
    [300, '5 min'],
    [3 * 3_600, '3 h'],
    [3 * 86_400, '3 days'],
    [-5, '0 s'],
  ])('tells an age of %s s as %s', (seconds, text) => {
    expect(age(new Date(1_000_000_000), 1_000_000_000 + seconds * 1_000)).toBe(text);
  });
});

describe('a record of CSV', () => {
  it('is read back by another program as it was, whatever stands in it', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', ' ', '"', ',', ';', '\r', '\n', '가', '7', "'", '.', '=') });
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell, cell), { minLength: 1 }), (rows) => {
        const read: string[][] = parse(rows.map(csvRecord).join(''), { recordDelimiter: '\r\n' });
        expect(read.map((row) => row.map(plainCell))).toEqual(rows);
      }),
    );
  });

  it.each(['=1+1@mail.test', '+82 10', '-1', '@SUM(A1)', '\tx', '\r=1'])('is no formula: %j', (text) => {
    expect(parse(csvRecord([text, 'x']), { recordDelimiter: '\r\n' })).toEqual([[`'${text}`, 'x']]);
  });
});
