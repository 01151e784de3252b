import { parseTemplate } from '../../mime/merge.js';
import { UsageError } from '../failure.js';
import type { CampaignContent } from './first-mail.js';
import type { RecipientFile } from './recipient-file.js';

/** Whatever stands in two braces, a field or not; a backslash keeps them literal. */
const BRACED = /(?<!\\)\{\{\{?\s*([^{}\r\n]*?)\s*\}\}/g;

/**
 * Compares the merge fields of a message with the columns of its recipients: what is no column has no value for anybody.
 *
 * @throws UsageError
 */
export function checkFields(content: CampaignContent, { name: file, columns }: RecipientFile): void {
  if (content.template !== undefined) return;
  const { subject, text, html, from, replyTo, headers = {}, unsubscribe } = content;
  const given: unknown[] = [subject, text, html, from, replyTo, ...Object.values(headers).flat()];
  const known = new Set(unsubscribe === true ? [...columns, 'unsubscribeUrl'] : columns);
  for (const template of given.filter((one) => typeof one === 'string')) {
    const fields = new Set(
      parseTemplate(template, 'text').flatMap((part) => (typeof part === 'string' ? [] : part.name)),
    );
    for (const [written, name = ''] of template.matchAll(BRACED)) {
      if (fields.has(name) && known.has(name) && !name.includes('.')) continue;
      const meant = columns.find((column) => plainName(column) === plainName(name));
      if (!fields.has(name) && meant === undefined) continue;
      throw new UsageError(`${written} is no column of ${file}. ${remedyFor(meant, columns)}`);
    }
  }
}

function remedyFor(meant: string | undefined, columns: readonly string[]): string {
  if (meant === undefined) return `Its columns are ${columns.join(', ')}.`;
  if (/^[\p{L}\p{N}_$-]+$/u.test(meant)) return `Write {{${meant}}}.`;
  const better = meant.trim().replace(/[^\p{L}\p{N}_$-]+/gu, '_');
  return `A field has letters, digits, _, - and $: call the column ${JSON.stringify(meant)} ${better} in the heading, and write {{${better}}}.`;
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/[\s._-]/g, '');
}
