import { describe, expect, it } from 'vitest';
import { RecordedSuppressions } from '../../src/feedback/recorded-suppressions.js';
import { csvRows, type CsvRow } from '../../src/feedback/suppression-csv.js';
import { MailSuppressions } from '../../src/nest/mail-suppressions.js';
import { UNSEALED } from '../../src/store/sealing.js';
import { MemoryRecords } from '../../src/testing/memory-records.js';

const newList = (): MailSuppressions => new MailSuppressions(new RecordedSuppressions(new MemoryRecords(), UNSEALED));

async function textOf(list: MailSuppressions): Promise<string> {
  let text = '';
  for await (const part of list.exportCsv()) text += part;
  return text;
}

/** Some bytes at a time, whatever characters they cut. */
function* pieces(text: string, size: number): Iterable<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

describe('a file of suppressions', () => {
  it('is read again as it was written', async () => {
    const list = newList();
    const since = new Date('2026-11-20T10:11:12.345Z');
    await list.add([
      { address: 'Ann@Bücher.test', reason: 'hard-bounce', since, note: '550 5.1.1 "Ann", who?' },
      {
        address: '+bob@mail.test',
        scope: 'list:news',
        reason: 'unsubscribed',
        since,
        note: '=HYPERLINK("https://evil.test")',
      },
      { address: "'+eve@mail.test", reason: 'complaint', since, note: "'=1+1" },
      { address: '한글@메일.테스트', since, note: ' two\r\nlines ' },
    ]);
    const text = await textOf(list);
    expect(text.split('\r\n')).toEqual(
      expect.arrayContaining([
        'address,scope,reason,since,note',
        'Ann@Bücher.test,all,hard-bounce,2026-11-20T10:11:12.345Z,"550 5.1.1 ""Ann"", who?"',
        `'+bob@mail.test,list:news,unsubscribed,2026-11-20T10:11:12.345Z,"'=HYPERLINK(""https://evil.test"")"`,
        "''+eve@mail.test,bulk,complaint,2026-11-20T10:11:12.345Z,''=1+1",
        '한글@메일.테스트,all,manual,2026-11-20T10:11:12.345Z,two lines',
      ]),
    );
    const other = newList();
    expect(await other.importCsv(pieces(text, 7))).toEqual({ added: 4, rejected: 0, faults: [] });
    expect(await textOf(other)).toBe(text);
  });

  it.each([';', '\t'])('may have cells that %j separates', async (separator) => {
    const list = newList();
    const rows = [
      ['address', 'note'],
      ['ann@mail.test', '"a, b, c, d"'],
    ].map((cells) => cells.join(separator));
    expect(await list.importCsv(pieces(rows.join('\r\n'), 3))).toEqual({ added: 1, rejected: 0, faults: [] });
    expect(await list.get('ann@mail.test')).toMatchObject([{ note: 'a, b, c, d' }]);
  });

  it('may have a byte order mark, other line ends, and its columns in any order', async () => {
    const list = newList();
    const text =
      '\ufeffNote;x,SINCE,Reason , address\n"a, b",2026-11-20,complaint,ann@mail.test\n\n,,,bob@mail.test,more\n';
    expect(await list.importCsv(text)).toEqual({ added: 2, rejected: 0, faults: [] });
    const [ann] = await list.get('ann@mail.test');
    expect(ann).toMatchObject({ scope: 'bulk', reason: 'complaint', since: new Date('2026-11-20T00:00:00Z') });
    const [bob] = await list.get('bob@mail.test');
    expect(bob).toMatchObject({ scope: 'all', reason: 'manual' });
  });

  it.each([
    [
      'Amazon SES',
      'EmailAddress,Reason,LastUpdateTime\nann@mail.test,BOUNCE,2026-11-20T10:00:00+01:00\nbob@mail.test,COMPLAINT,2026-11-20T10:00:00Z\n',
      {},
    ],
    [
      'SendGrid',
      'status,reason,email,created\n5.1.1,550 5.1.1 No such user,ann@mail.test,1795165200\n',
      { note: '550 5.1.1 No such user' },
    ],
    ['Postmark', 'EmailAddress,SuppressionReason,CreatedAt\nann@mail.test,HardBounce,2026-11-20 09:00:00\n', {}],
    [
      'Mailgun',
      'address,code,error,created_at\nann@mail.test,550,No such user,"Fri, 20 Nov 2026 09:00:00 UTC"\n',
      { note: 'No such user' },
    ],
  ])("may be %s's", async (_, text, more) => {
    const list = newList();
    expect(await list.importCsv([text], { reason: 'hard-bounce' })).toMatchObject({ rejected: 0 });
    const ann = {
      address: 'ann@mail.test',
      scope: 'all',
      reason: 'hard-bounce',
      since: new Date('2026-11-20T09:00:00Z'),
    };
    expect(await list.get('ann@mail.test')).toEqual([{ ...ann, ...more }]);
    const [bob] = await list.get('bob@mail.test');
    if (bob) expect(bob).toMatchObject({ reason: 'complaint', scope: 'bulk' });
  });

  it('is read on behind rows that are wrong, which are told by their lines', async () => {
    const rows = [
      'email,reason,scope,since',
      'ann@mail.test,bounce,,',
      'nobody,bounce,,',
      ',bounce,,',
      'bob@mail.test,vacation,,',
      'bob@mail.test,bounce,everything,',
      'bob@mail.test,bounce,,yesterday',
      'bob@"mail.test,bounce,,',
      'eve@mail.test,complaint,list:news,',
    ];
    const list = newList();
    expect(await list.importCsv([rows.join('\r\n')])).toEqual({
      added: 2,
      rejected: 6,
      faults: [
        { line: 3, message: 'address: "nobody" is not an address' },
        { line: 4, message: 'address: is empty' },
        { line: 5, message: 'reason: "vacation" is none of hard-bounce, complaint, unsubscribed, manual' },
        {
          line: 6,
          message: expect.stringContaining('scope: "everything" is none of all, bulk and list:<name>') as string,
        },
        { line: 7, message: 'since: "yesterday" is not a time' },
        { line: 8, message: expect.stringContaining('is no CSV') as string },
      ],
    });
    expect(await list.get('eve@mail.test')).toMatchObject([{ scope: 'list:news', reason: 'complaint' }]);
  });

  it('tells no more than the first hundred faults', async () => {
    const list = newList();
    const { rejected, faults } = await list.importCsv([`email\n${'nobody\n'.repeat(250)}`]);
    expect([rejected, faults.length]).toEqual([250, 100]);
  });

  it('counts any number of rows that are no CSV, and keeps what is wrong with some', async () => {
    const rows: CsvRow[] = [];
    for await (const row of csvRows([`email\n${'bob@"mail.test\n'.repeat(2_500)}`])) rows.push(row);
    expect(rows).toHaveLength(2_500);
    expect(rows[999]).toMatchObject({ line: 1_001 });
    for (const row of rows.slice(1_000)) expect(row).toEqual({ line: 0, fault: 'is no CSV' });
  });

  it('is refused without a column of addresses, or when it cannot be read on', async () => {
    const list = newList();
    await expect(list.importCsv(['name,mobile\nAnn,1\n'])).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('names no column address or email, but "name,mobile"') as string,
    });
    const broken = (async function* () {
      yield 'email\nann@mail.test\n';
      await Promise.resolve();
      throw new Error('disk gone');
    })();
    await expect(list.importCsv(broken)).rejects.toMatchObject({ code: 'SOURCE_FAILED', permanent: false });
  });

  it('is bounded by rows that never end', async () => {
    const list = newList();
    const open = [
      'email,note\nann@mail.test,"',
      ...Array.from({ length: 40 }, () => 'x'.repeat(10_000)),
      '\nbob@mail.test,\n',
    ];
    const { rejected, faults } = await list.importCsv(open);
    expect(rejected).toBeGreaterThan(0);
    expect(faults[0]).toMatchObject({ line: 2, message: expect.stringContaining('longer than') as string });
  });
});

describe('suppressions by hand', () => {
  it('have a scope that fits their reason, and the time', async () => {
    const list = newList();
    const before = Date.now();
    await list.add({ address: 'ann@mail.test' });
    await list.add([
      { address: 'bob@mail.test', reason: 'hard-bounce' },
      { address: 'cid@mail.test', reason: 'complaint' },
      { address: 'dan@mail.test', reason: 'unsubscribed' },
    ]);
    const scopes: string[] = [];
    for await (const { address, scope, reason, since } of list.list()) {
      scopes.push(`${address} ${scope} ${reason}`);
      expect(since.getTime()).toBeGreaterThanOrEqual(before);
    }
    expect(scopes).toEqual([
      'ann@mail.test all manual',
      'bob@mail.test all hard-bounce',
      'cid@mail.test bulk complaint',
      'dan@mail.test bulk unsubscribed',
    ]);
  });

  it('are checked before any of them is added', async () => {
    const list = newList();
    const wrong = [
      { address: 'ann@mail.test' },
      { address: 'nobody', since: new Date(NaN) },
      { address: 'bob@mail.test', scope: 'list:', note: 5 },
      { address: 'bob@mail.test', reason: 'spite' },
    ] as never;
    await expect(list.add(wrong)).rejects.toMatchObject({
      errors: [
        { path: '[1].address', message: '"nobody" is not an address' },
        { path: '[1].since', message: 'must be a Date' },
        { path: '[2].scope' },
        { path: '[2].note', message: 'must be a string' },
        { path: '[3].reason' },
      ].map((fault) => expect.objectContaining(fault) as object),
    });
    expect(await list.get('ann@mail.test')).toEqual([]);
  });

  it('need a list', async () => {
    const none = new MailSuppressions(undefined);
    await expect(none.add({ address: 'ann@mail.test' })).rejects.toMatchObject({ code: 'CONFIG' });
    expect(() => none.exportCsv()).toThrow('queue: false');
  });
});
