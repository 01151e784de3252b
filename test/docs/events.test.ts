import { expect, it } from 'vitest';
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
