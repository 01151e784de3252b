import { createHash } from 'node:crypto';
import type { Feedback, FeedbackType } from '../../feedback/feedback.js';
import { isPermanentBounce, statusOf } from '../../feedback/mail/permanence.js';
import type { DsnRecipient } from '../../feedback/mail/delivery-status.js';
import { readReportMail, type ReportMail } from '../../feedback/mail/report-mail.js';
import type { ReturnPaths } from '../../feedback/return-path.js';
import { suppressionKey } from '../../feedback/suppression.js';
import type { FeedbackIntake, FeedbackReceipt } from './intake.js';
import type { KnownMail, MailLookup } from './known-mail.js';

/** What a mail turned out to be that came to the address for bounces. */
export type MailReading =
  /** Bounces, confirmations or a complaint, and what became of them. */
  | (FeedbackReceipt & {
      kind: 'report';
      /** Of mails that are none of ours, or of recipients that they never had. */
      forged: number;
      /** Such as of a delay: the mail is still under way. */
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

/** Of a mail: whom it went to, as far as that is certain. */
interface Verified {
  id: string;
  address: string;
}

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
 * recipient, or names a mail of ours by its Message-ID that this recipient has had.
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
    const paths = [recipient, ...mail.to, returnPath].filter((path) => path !== undefined);
    const reports: Feedback[] = [];
    let forged = 0;
    for (const claim of claims.made) {
      const verified = await this.verify(claim, paths, messageId);
      if (verified) reports.push(reportOf(claim, verified));
      else {
        forged++;
        this.intake.refuse(claim.source, 'forged');
      }
    }
    return { kind: 'report', ...(await this.intake.report(reports, true)), forged, ignored: claims.ignored };
  }

  private async verify(
    claim: Claim,
    paths: readonly string[],
    messageId: string | undefined,
  ): Promise<Verified | undefined> {
    for (const path of paths) {
      const claimed = this.returnPaths?.find(path);
      if (!claimed) continue;
      const mail = await this.mails.find(claimed.id);
      const verified = this.byPath(path, claim, mail);
      if (verified) return verified;
    }
    const mail = messageId === undefined ? undefined : await this.mails.match({ messageId });
    if (!mail) return undefined;
    const address = recipientOf(mail, claim) ?? soleOfComplaint(mail, claim);
    return address === undefined ? undefined : { id: mail.id, address };
  }

  private byPath(path: string, claim: Claim, mail: KnownMail | undefined): Verified | undefined {
    // Ours come first: a server that a mail was forwarded to knows another address than we do.
    const candidates = [...(mail?.recipients ?? []), ...claim.addresses];
    const returned = this.returnPaths!.read(path, candidates);
    if (!returned) return undefined;
    const { id, address = mail && recipientOf(mail, claim) } = returned;
    return address === undefined ? undefined : { id, address };
  }
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
  // It is still under way.
  if (action === 'delayed') return undefined;
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

function reportOf({ type, source, details }: Claim, { id, address }: Verified): Feedback {
  const now = new Date();
  const { at = now, permanent } = details;
  const key = createHash('sha256')
    .update([id, suppressionKey(address), type, permanent].join('\n'))
    .digest('base64url');
  // Nobody vouches for the time.
  return { key, type, source, address, match: { id }, ...details, at: at > now ? now : at };
}
