import { createHash } from 'node:crypto';
import type { Feedback, FeedbackType } from '../../feedback/feedback.js';
import { isPermanentBounce, statusOf } from '../../feedback/mail/permanence.js';
import type { DsnRecipient } from '../../feedback/mail/delivery-status.js';
import { readReportMail, type ReportMail } from '../../feedback/mail/report-mail.js';
import type { ReturnPaths } from '../../feedback/return-path.js';
import { suppressionKey } from '../../feedback/suppression.js';
import type { FeedbackIntake, FeedbackReceipt } from './intake.js';
import type { KnownMail } from './known-mail.js';
import type { MailLookup } from './mail-lookup.js';

/** What a mail turned out to be that came to the address for bounces. */
export type MailReading =
  /** Bounces, confirmations or a complaint, and what became of them. */
  | (FeedbackReceipt & {
      kind: 'report';
      /** Of mails that are none of ours, or of recipients that they never had. */
      forged: number;
      /** Of mails of ours whose recipients are not known any more, and do not stand in the report. */
      unmatched: number;
      /** Such as of a delay: nobody knows yet whether the mail arrives. */
      ignored: number;
    })
  /** Somebody wants no more mail, by the link of one, and gets none. */
  | { kind: 'unsubscribe' }
  /** An answer that a program has written, such as that somebody is on holiday. */
  | { kind: 'auto-reply' }
  | { kind: 'no-report' };

/** What is claimed of one recipient. */
interface Claim {
  type: FeedbackType;
  source: 'dsn' | 'arf';
  /** Under which the recipient may be known; the first is said to be it. */
  addresses: readonly string[];
  details: Partial<Pick<Feedback, 'permanent' | 'enhancedCode' | 'reply' | 'at'>>;
}

/** A return path that a report brings back, and the mail that it claims to be of. */
interface Origin {
  id: string;
  path: string;
  mail: KnownMail | undefined;
}

/** What is certain of a claim. */
type Verdict = { id: string; address: string } | 'forged' | 'unmatched';

/** Each is looked up, and one mail has one. */
const MAX_PATHS = 5;

/** RFC 5965 §7.3; the others report forgeries and viruses, or take a complaint back. */
const COMPLAINTS: Readonly<Record<string, FeedbackType>> = {
  abuse: 'complained',
  fraud: 'complained',
  other: 'complained',
  'opt-out': 'unsubscribed',
  'opt-out-list': 'unsubscribed',
};

/**
 * Takes reports that come as mails. Anybody can send one, so one counts only when it came to an address that we have signed for this
 * recipient. A Message-ID is no secret: it counts where mails have no signed return path, and then suppresses nobody.
 */
export class MailReports {
  constructor(
    private readonly intake: FeedbackIntake,
    private readonly mails: MailLookup,
    private readonly returnPaths: ReturnPaths | undefined,
  ) {}

  /** @param recipient the envelope's, where it is not in a header of the mail */
  async take(raw: Uint8Array, recipient: string | undefined): Promise<MailReading> {
    const mail = await readReportMail(raw);
    if (mail.kind === 'auto-reply' || mail.kind === 'no-report') return { kind: mail.kind };
    const claims = claimsOf(mail);
    const { messageId, returnPath } = mail.returned;
    const origins = claims.made.length === 0 ? [] : await this.signed([recipient, ...mail.to, returnPath]);
    const unsigned = origins.length === 0 && claims.made.length > 0 ? await this.unsigned(messageId) : undefined;
    const reports: Feedback[] = [];
    const without = { forged: 0, unmatched: 0 };
    for (const claim of claims.made) {
      const verdict = unsigned ? byMessageId(unsigned, claim) : this.byPath(origins, claim);
      if (typeof verdict === 'object') reports.push(reportOf(claim, verdict));
      else without[verdict]++;
    }
    const receipt = await this.intake.report(reports, unsigned ? 'mail' : 'signed-mail');
    const [first] = claims.made;
    for (const reason of ['forged', 'unmatched'] as const) {
      // Once, however many recipients it names.
      if (first && without[reason] > 0) this.intake.refuse(first.source, reason);
    }
    return { kind: 'report', ...receipt, ...without, ignored: claims.ignored };
  }

  /** The mails that addresses claim to be of; nobody has verified them. */
  private async signed(paths: readonly (string | undefined)[]): Promise<Origin[]> {
    const known = new Map<string, Origin>();
    for (const path of paths) {
      const id = path === undefined ? undefined : this.returnPaths?.find(path)?.id;
      if (path === undefined || id === undefined || known.has(path) || known.size >= MAX_PATHS) continue;
      known.set(path, { id, path, mail: await this.mails.find(id) });
    }
    return [...known.values()];
  }

  /** A mail that has no return path of its own. */
  private async unsigned(messageId: string | undefined): Promise<KnownMail | undefined> {
    const mail = messageId === undefined ? undefined : await this.mails.match({ messageId }, 'recipients');
    return mail && !this.returnPaths?.fits(mail.id) ? mail : undefined;
  }

  private byPath(origins: readonly Origin[], claim: Claim): Verdict {
    let verdict: Verdict = 'forged';
    for (const { id, path, mail } of origins) {
      // Ours come first: a server that a mail was forwarded to knows another address than we do.
      const returned = this.returnPaths!.read(path, [...(mail?.recipients ?? []), ...claim.addresses]);
      const address = returned?.address ?? (returned && mail && recipientOf(mail, claim));
      if (address !== undefined) return { id, address };
      // Signed for several, or for one whom nothing names.
      if (!mail?.recipients && (returned || mail)) verdict = 'unmatched';
    }
    return verdict;
  }
}

function byMessageId(mail: KnownMail, claim: Claim): Verdict {
  const address = recipientOf(mail, claim) ?? soleOfComplaint(mail, claim);
  if (address !== undefined) return { id: mail.id, address };
  return mail.recipients ? 'forged' : 'unmatched';
}

/** That of the mail's recipients which the report is about. */
function recipientOf({ recipients = [] }: KnownMail, { addresses }: Claim): string | undefined {
  const claimed = new Set(addresses.map(suppressionKey));
  return recipients.find((recipient) => claimed.has(suppressionKey(recipient)));
}

/** Providers black out whom a complaint is from. */
function soleOfComplaint({ recipients = [] }: KnownMail, { source }: Claim): string | undefined {
  return source === 'arf' && recipients.length === 1 ? recipients[0] : undefined;
}

function claimsOf(mail: Extract<ReportMail, { kind: 'bounces' | 'complaint' }>): { made: Claim[]; ignored: number } {
  if (mail.kind === 'complaint') {
    const type = COMPLAINTS[mail.type];
    if (type === undefined) return { made: [], ignored: 1 };
    const addresses = [...mail.recipients, ...mail.returned.to];
    return { made: [{ type, source: 'arf', addresses, details: mail.at ? { at: mail.at } : {} }], ignored: 0 };
  }
  const made = mail.recipients.flatMap((recipient) => claimOf(recipient) ?? []);
  return { made, ignored: mail.recipients.length - made.length };
}

function claimOf({ action, address, original, at, ...cause }: DsnRecipient): Claim | undefined {
  // It is still under way, has gone where nobody confirms anything, or to the members of a list (RFC 3464 §2.3.3).
  if (action === 'delayed' || action === 'relayed' || action === 'expanded') return undefined;
  const type = action === 'failed' ? 'bounced' : 'delivered';
  const enhancedCode = statusOf(cause);
  const { diagnostic } = cause;
  return {
    type,
    source: 'dsn',
    addresses: original === undefined ? [address] : [original, address],
    details: {
      ...(at ? { at } : {}),
      ...(type === 'bounced' ? { permanent: isPermanentBounce(cause) } : {}),
      ...(enhancedCode === undefined ? {} : { enhancedCode }),
      ...(diagnostic === undefined || diagnostic === '' ? {} : { reply: diagnostic }),
    },
  };
}

function reportOf({ type, source, details }: Claim, { id, address }: Exclude<Verdict, string>): Feedback {
  const now = new Date();
  const { at = now, permanent } = details;
  const key = createHash('sha256')
    .update([id, suppressionKey(address), type, permanent].join('\n'))
    .digest('base64url');
  // Nobody vouches for the time.
  return { key, type, source, address, match: { id }, ...details, at: at > now ? now : at };
}
