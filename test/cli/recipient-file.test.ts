import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RecipientFile, type ColumnNames, type Row } from '../../src/cli/bulk/recipient-file.js';
import { csvRecord } from '../../src/message/csv.js';
import { DEFAULT_LIMITS } from '../../src/message/limits.js';
import { temporaryFolder } from '../support/temp.js';

const folder = temporaryFolder('recipients');

function fileOf(content: string | Buffer, wanted?: ColumnNames): Promise<RecipientFile> {
  const path = join(folder, 'people.csv');
  writeFileSync(path, content);
  return RecipientFile.open(path, DEFAULT_LIMITS, wanted);
}

async function rowsOf(content: string | Buffer, wanted?: ColumnNames): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of (await fileOf(content, wanted)).rows()) rows.push(row);
  return rows;
}

const recipientsOf = async (content: string | Buffer, wanted?: ColumnNames): Promise<unknown[]> =>
  (await rowsOf(content, wanted)).flatMap((row) => ('recipient' in row ? [row.recipient] : []));

describe('rows', () => {
  it('take the address, the name, and all columns for the mail', async () => {
    expect(await rowsOf('email,name,town\nann@x.test,Ann,York\nbob@x.test,,\n')).toEqual([
      {
        line: 2,
        recipient: {
          to: { name: 'Ann', address: 'ann@x.test' },
          context: { email: 'ann@x.test', name: 'Ann', town: 'York' },
        },
        key: 'ann@x.test',
      },
      {
        line: 3,
        recipient: { to: 'bob@x.test', context: { email: 'bob@x.test', name: '', town: '' } },
        key: 'bob@x.test',
      },
    ]);
  });

  it.each([
    ['a byte order mark, CRLF and quotes', '\ufeff"Email","Name"\r\nann@x.test,"Smith, ""Ann"""\r\n'],
    ['semicolons', 'Email;Name\nann@x.test;Smith, "Ann"\n'.replace('"Ann"', '""Ann""').replace(/Smith.*/, '"$&"')],
    ['tabs', 'Name\tE-Mail\n"Smith, ""Ann"""\tann@x.test'],
    ['empty lines', '\n\nAddress,Name\n\n,\nann@x.test,"Smith, ""Ann"""\n , \n\n'],
  ])('are read with %s', async (_, content) => {
    expect(await recipientsOf(content)).toMatchObject([{ to: { name: 'Smith, "Ann"', address: 'ann@x.test' } }]);
  });

  it('have the address that stood in what this package wrote', async () => {
    expect(await recipientsOf(`email\r\n${csvRecord(['+news@x.test'])}`)).toMatchObject([{ to: '+news@x.test' }]);
  });

  it('are told with their line where nobody can be served', async () => {
    const latin1 = Buffer.concat([
      Buffer.from('email,name\nann,Ann\n,Bob\nc@x.test\nd@x.test,D,D\ne@x.test,E "e"\n"f@x.test",F "f" f\n'),
      Buffer.from('g@x.test,G\u00e4\n', 'latin1'),
      Buffer.from('h@x.test,"H\nH"\ni@x.test,I\nj@x.test@x.test,J\n'),
    ]);
    const rows = await rowsOf(latin1);
    expect(rows.map((row) => ('problem' in row ? [row.line, row.address, row.problem] : row.line))).toEqual([
      [2, 'ann', '"ann" is not an address'],
      [3, '', 'has no address'],
      [4, 'c@x.test', 'has 1 cells, the heading has 2'],
      [5, 'd@x.test', 'has 3 cells, the heading has 2'],
      [6, '', 'has a misplaced quote'],
      [7, '', 'has a misplaced quote'],
      [8, 'g@x.test', 'is not UTF-8; save the file in that encoding'],
      10,
      11,
      [12, 'j@x.test@x.test', '"j@x.test@x.test" is not an address'],
    ]);
  });

  it('may say in which language their mail is, and may have the address under another name', async () => {
    const content = 'Contact,email,language\nann@x.test,old@x.test,ko\nbob@x.test,,\ncem@x.test,,not one\n';
    const wanted = { address: 'contact', locale: 'Language' };
    expect(await recipientsOf(content, wanted)).toEqual([
      { to: 'ann@x.test', locale: 'ko', context: { Contact: 'ann@x.test', email: 'old@x.test', language: 'ko' } },
      { to: 'bob@x.test', context: { Contact: 'bob@x.test', email: '', language: '' } },
    ]);
  });

  it.each([
    [
      'a quote that is not closed',
      'email,name\na@x.test,A\n"b@x.test,B\nc@x.test,C\n',
      'line 3 or after it, up to line 4',
    ],
    ['one that is closed far away', 'email,name\n"b@x.test,B\nc@x.test,C\nd@x.test,"D"\n', 'line 2 or after it, up to'],
    ['one that swallows megabytes', `email,name\n"b@x.test,B\n${'c@x.test,C\n'.repeat(200_000)}`, 'line 2 or after it'],
  ])('are not guessed after %s', async (_, content, where) => {
    await expect(rowsOf(content)).rejects.toThrow(`people.csv: a quote is missing in ${where}`);
  });
});

it.each([
  ['', 'people.csv has no column email, address or to; name it with --address-column. It is empty.'],
  ['ann@x.test,Ann\n', 'Its columns are ann@x.test, Ann.'],
  ['email,town,town\n', 'people.csv has two columns "town".'],
])('a file that begins with %j has no recipients', async (content, message) => {
  await expect(fileOf(content)).rejects.toThrow(message);
});

it('a survey counts, and tells the file by its bytes', async () => {
  const content = 'email\nann@x.test\nbob\nAnn@X.test\ncem@x.test\nann@x.test\n';
  expect(await (await fileOf(content)).survey()).toEqual({
    recipients: 3,
    duplicates: 1,
    invalid: 1,
    examples: [expect.objectContaining({ line: 3, address: 'bob' })],
    first: { to: 'ann@x.test', context: { email: 'ann@x.test' } },
    digest: createHash('sha256').update(content).digest('hex'),
  });
});

it('recipients are all there whenever they are read, and refused where the file was changed', async () => {
  const file = await fileOf('email\nann@x.test\nbob@x.test\n');
  const recipients = file.recipients(await file.survey());
  for await (const { to } of recipients) if (to !== '') break;
  const all: unknown[] = [];
  for await (const { to } of recipients) all.push(to);
  expect(all).toEqual(['ann@x.test', 'bob@x.test']);
  await fileOf('email\nann@x.test\n');
  const rest = (async () => {
    for await (const { to } of recipients) all.push(to);
  })();
  await expect(rest).rejects.toThrow('it had 2 recipients, and has 1');
});
