import type { Type } from '@nestjs/common';
import { expect, it } from 'vitest';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { boot, into } from '../nest/boot.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { openPage } from '../support/page.js';
import { readPage, tableRows } from '../support/snippets.js';
import { membersOf } from './declared.js';

interface MailFigures {
  lastDay(): Promise<string[]>;
  isRefusing(transport: string): Promise<boolean>;
}

it('docs/statistics.md opens with code that tells how much was sent', async () => {
  const page = openPage('docs/statistics.md');
  const { MailFigures } = await page.load<{ MailFigures: Type<MailFigures> }>('src/mail-figures.ts');
  const app = await boot({ imports: [MailModule.forRoot(into(new Mailbox()))], providers: [MailFigures] });
  await app.get(MailService).send({ to: ['ann@mail.test', 'bob@mail.test'], subject: 'x', text: 'x' });
  const figures = app.get(MailFigures);
  expect(await figures.lastDay()).toEqual([
    '2 recipients served, 0 given up',
    '2 of them while somebody waited, 0 through the queue',
    expect.stringMatching(/^mailbox took 2, in [\d.]+ ms on average$/),
  ]);
  expect(await figures.isRefusing('mailbox')).toBe(false);
});

it('docs/statistics.md has every option and every count', () => {
  const shown = tableRows(readPage('docs/statistics.md')).map(([field = '']) => field.replaceAll('`', ''));
  const options = membersOf('src/nest/stats-range.ts', 'StatsOptions').keys();
  expect(shown).toEqual([...options, ...membersOf('src/queue/tally.ts', 'MailCounts').keys()]);
});
