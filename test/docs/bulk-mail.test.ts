import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/queue/bottleneck.js';
import { readPage, tableRows } from '../support/snippets.js';
import { membersOf } from './declared.js';

const page = readPage('docs/bulk-mail.md');
const options = new Map(tableRows(readPage('docs/options.md')).map(([path, , , otherwise]) => [path, otherwise]));

describe('docs/bulk-mail.md', () => {
  it('has every field of a recipient', () => {
    const shown = rows('Recipients').map(([field = '']) => field.replaceAll('`', ''));
    expect(shown.sort()).toEqual([...membersOf('src/message/message.ts', 'RecipientInput').keys()].sort());
  });

  it('has every value of boundBy', () => {
    const shown = rows('What limits a campaign').map(([value = '']) => value.replaceAll('`', ''));
    expect(shown.sort()).toEqual([...LIMITS].sort());
  });

  it.each(rows('What can be turned').map(([option = '', , otherwise]) => ({ option, otherwise })))(
    'has the default of $option',
    ({ option, otherwise }) => {
      const messages = option.replace('rateLimit', 'rateLimit.messages');
      expect(otherwise).toBe(options.get(messages) ?? options.get(option));
    },
  );
});

function rows(heading: string): string[][] {
  const [, text = ''] = new RegExp(`^## ${heading}\\n([^]*?)(?=^## |$(?![^]))`, 'm').exec(page) ?? [];
  expect(text, heading).not.toBe('');
  return tableRows(text);
}
