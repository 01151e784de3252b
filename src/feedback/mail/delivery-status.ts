import { oneLine } from '../../message/text.js';
import { dateIn, first, readHeaderFields, type HeaderFields } from './header-fields.js';

/** RFC 3464 §2.3.3. */
export type DsnAction = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded';
const ACTIONS: readonly DsnAction[] = ['failed', 'delayed', 'delivered', 'relayed', 'expanded'];

/** What a delivery status notification says of one recipient. */
export interface DsnRecipient {
  action: DsnAction;
  /** As the reporting server knew it: after forwarding another than the mail was sent to. */
  address: string;
  /** As the sender gave it, where that is known. */
  original?: string;
  /** RFC 3463 enhanced status code. */
  status?: string;
  /** The server's words. */
  diagnostic?: string;
  at?: Date;
}

/** A report with more is none of ours: a mail of ours has few recipients. */
export const MAX_RECIPIENTS = 100;

/** The recipients of a `message/delivery-status` part (RFC 3464 §2.1): a group of fields about the message, and one for each. */
export function readDeliveryStatus(text: string): DsnRecipient[] {
  const groups = text.replace(/\r\n?/g, '\n').split(/\n[ \t]*\n/);
  const recipients: DsnRecipient[] = [];
  for (const group of groups) {
    const recipient = readRecipient(readHeaderFields(group));
    if (recipient && recipients.length < MAX_RECIPIENTS) recipients.push(recipient);
  }
  return recipients;
}

function readRecipient(fields: HeaderFields): DsnRecipient | undefined {
  const action = first(fields, 'action')?.toLowerCase().split(/[\s(]/)[0] as DsnAction | undefined;
  const address = typed(first(fields, 'final-recipient'));
  const original = typed(first(fields, 'original-recipient'));
  const either = address ?? original;
  if (either === undefined || action === undefined || !ACTIONS.includes(action)) return undefined;
  const status = /\d\.\d{1,3}\.\d{1,3}/.exec(first(fields, 'status') ?? '')?.[0];
  const diagnostic = first(fields, 'diagnostic-code')?.replace(/^\s*[\w-]+\s*;\s*/, '');
  const at = dateIn(fields, ['last-attempt-date', 'arrival-date']);
  return {
    action,
    address: either,
    ...(original === undefined ? {} : { original }),
    ...(status === undefined ? {} : { status }),
    ...(diagnostic === undefined ? {} : { diagnostic: oneLine(diagnostic) }),
    ...(at ? { at } : {}),
  };
}

/** An address behind its type (RFC 3464 §2.1.2): `rfc822; ann@mail.example`, or `utf-8;…` (RFC 6533). */
function typed(value: string | undefined): string | undefined {
  const address = value
    ?.replace(/^\s*[\w-]+\s*;/, '')
    .trim()
    .replace(/^<(.*)>$/, '$1');
  return address !== undefined && address.includes('@') ? address : undefined;
}
