import { expect, it } from 'vitest';
import { readPage, tableRows } from '../support/snippets.js';
import { membersOf } from './declared.js';

it('docs/health.md has every field of a transport', () => {
  const shown = tableRows(readPage('docs/health.md')).map(([field = '']) => field.replaceAll('`', ''));
  expect(shown.sort()).toEqual([...membersOf('src/nest/mail-health.ts', 'TransportHealth').keys()].sort());
});
