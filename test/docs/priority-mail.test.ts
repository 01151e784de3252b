import { describe, expect, it } from 'vitest';
import { MailDeliveryError, type DeliveryAttempt } from '../../src/errors.js';
import { readPage, tableRows } from '../support/snippets.js';
import { membersOf } from './declared.js';

const section = /^## MailDeliveryError\n([^]*?)^## /m.exec(readPage('docs/priority-mail.md'))?.[1] ?? '';

describe('the MailDeliveryError in docs/priority-mail.md', () => {
  it('has the fields of an attempt', () => {
    const shown = tableRows(section).map(([field = '']) => field.replaceAll('`', ''));
    expect(shown.sort()).toEqual([...membersOf('src/errors.ts', 'DeliveryAttempt').keys()].sort());
  });

  it('prints as it is shown', () => {
    const printed = block('text');
    const attempts = JSON.parse(block('json')) as DeliveryAttempt[];
    const [, id = ''] = /Message (p_\w+) /.exec(printed) ?? [];
    expect(String(new MailDeliveryError(id, attempts))).toBe(printed.trim());
  });
});

function block(language: string): string {
  return new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(section)?.[1] ?? '';
}
