import { oneLine } from '../../message/text.js';
import { MAX_RECIPIENTS, type DsnRecipient } from './delivery-status.js';

/** Bounces of servers that write no delivery status. Only what they have the form of a report in is read. */
export interface PlainBounce {
  recipients: DsnRecipient[];
  /** What follows the report: the mail that is returned. */
  returned: string;
}

/** qmail's own format (https://cr.yp.to/proto/qsbmf.txt): paragraphs that begin with `<address>:`, then one that begins with `-`. */
export function readQmailBounce(text: string): PlainBounce | undefined {
  const body = text.replace(/\r\n?/g, '\n').trimStart();
  if (!body.startsWith('Hi. This is the ')) return undefined;
  const recipients: DsnRecipient[] = [];
  let at = 0;
  for (const paragraph of body.split(/\n{2,}/)) {
    at = body.indexOf(paragraph, at) + paragraph.length;
    if (paragraph.startsWith('-')) return { recipients, returned: body.slice(at).trimStart() };
    const [, address, reason = ''] = /^<([^\s<>@]+@[^\s<>@]+)>:\n?([\s\S]*)$/.exec(paragraph) ?? [];
    if (address === undefined || recipients.length >= MAX_RECIPIENTS) continue;
    recipients.push({ action: 'failed', address, diagnostic: oneLine(reason) });
  }
  return undefined;
}

const EXIM_COPY = /^-{4,} This is a copy of (?:the|your) message.{0,60}$/im;

/** Exim's, which names the recipients in a header, and the reason in the text behind each address. */
export function readEximBounce(text: string, failed: readonly string[]): PlainBounce {
  const body = text.replace(/\r\n?/g, '\n');
  const copy = EXIM_COPY.exec(body);
  const report = copy ? body.slice(0, copy.index) : body;
  const lines = report.split('\n');
  const places = new Map(lines.map((line, index) => [line.trim().toLowerCase(), index]));
  const recipients = failed.slice(0, MAX_RECIPIENTS).map((address): DsnRecipient => {
    const at = places.get(address.toLowerCase()) ?? -1;
    const indent = at < 0 ? 0 : lines[at]!.search(/\S/);
    const reason: string[] = [];
    for (const line of at < 0 ? [] : lines.slice(at + 1)) {
      if (line.search(/\S/) <= indent) break;
      reason.push(line.trim());
    }
    return { action: 'failed', address, ...(reason.length > 0 ? { diagnostic: oneLine(reason.join(' ')) } : {}) };
  });
  return { recipients, returned: copy ? body.slice(copy.index + copy[0].length).trimStart() : '' };
}
