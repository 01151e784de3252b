import { expect, it } from 'vitest';
import type { Type } from '@nestjs/common';
import { startMail } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { openPage } from '../support/page.js';
import { readPage, tableRows } from '../support/snippets.js';
import { IN_MEMORY } from '../support/stores.js';
import { membersOf } from './declared.js';

const rows = tableRows(readPage('docs/events.md')).map(([event = '', , payload = '']) => ({
  event: event.replaceAll('`', ''),
  fields: [...payload.matchAll(/`(\w+)`/g)].map(([, field = '']) => field).filter((field) => field !== 'Date'),
}));
const declared = membersOf('src/events/events.ts', 'MailEvents');

it('docs/events.md has every event, and no other', () => {
  expect(rows.map(({ event }) => event).sort()).toEqual([...declared.keys()].sort());
});

it.each(rows)('docs/events.md has what $event tells', ({ event, fields }) => {
  expect(fields.sort()).toEqual(declared.get(event)?.sort());
});

it('docs/events.md opens with code that suppresses whom a server refuses', async () => {
  const smtp = await startSmtpServer({ onRcpt: () => ({ code: 550, text: '5.1.1 No such user' }) });
  const page = openPage('docs/events.md');
  const { BounceList } = await page.load<{ BounceList: Type }>('src/bounce-list.ts');
  const { mail } = await startMail({ smtp: smtp.url, queue: { connection: IN_MEMORY }, providers: [BounceList] });
  await expect(mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x' })).rejects.toThrow(/No such/);
  const known = { scope: 'all', reason: 'hard-bounce', note: '550 5.1.1 No such user' };
  await eventually(async () => expect(await mail.suppressions.get('ann@mail.test')).toMatchObject([known]));
});
