import { expect, it } from 'vitest';
import type { Type } from '@nestjs/common';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { boot } from '../nest/boot.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { openPage } from '../support/page.js';
import { readPage, tableRows } from '../support/snippets.js';
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

it('docs/events.md opens with code that hears what a server refuses', async () => {
  const smtp = await startSmtpServer({ onRcpt: () => ({ code: 550, text: '5.1.1 No such user' }) });
  const page = openPage('docs/events.md');
  const { BounceList } = await page.load<{ BounceList: Type<{ addresses: Set<string> }> }>('src/bounce-list.ts');
  const transports = [{ name: 'main', url: smtp.url }];
  const module = MailModule.forRoot({ from: 'shop@shop.test', transports, queue: false });
  const app = await boot({ imports: [module], providers: [BounceList] });
  await expect(app.get(MailService).send({ to: 'ann@mail.test', subject: 'x', text: 'x' })).rejects.toThrow(/No such/);
  expect([...app.get(BounceList).addresses]).toEqual(['ann@mail.test']);
});
