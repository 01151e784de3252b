import type { GetAccountCommandOutput } from '@aws-sdk/client-sesv2';

/** What SES tells of an account in one region. */
export interface SesAccount {
  /** Recipients a second; undefined when there is no limit. */
  rate?: number;
  /** Why nothing can be sent now. */
  trouble?: string;
  /** What whoever runs it should know, in one line. */
  notice: string;
}

export function accountOf({
  SendingEnabled,
  ProductionAccessEnabled,
  EnforcementStatus,
  SendQuota,
}: Partial<GetAccountCommandOutput>): SesAccount {
  const { MaxSendRate: rate, Max24HourSend: day = -1, SentLast24Hours: sent = 0 } = SendQuota ?? {};
  const limited = rate !== undefined && rate > 0;
  const trouble =
    EnforcementStatus === 'SHUTDOWN'
      ? 'SES has shut down sending for this account'
      : SendingEnabled === false
        ? 'Sending is paused for this account'
        : day >= 0 && sent >= day
          ? `The quota of ${day} recipients in 24 hours is used up`
          : undefined;
  const notice = [
    ...(ProductionAccessEnabled === false ? ['SES sandbox: only verified addresses get mail'] : []),
    ...(EnforcementStatus === 'PROBATION' ? ['SES has put the account on probation'] : []),
    ...(day >= 0 ? [`${sent} of ${day} recipients in the last 24 hours`] : []),
    ...(limited ? [`at most ${rate} a second`] : []),
  ].join('; ');
  return { notice, ...(limited ? { rate } : {}), ...(trouble === undefined ? {} : { trouble }) };
}
