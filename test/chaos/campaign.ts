import type { CampaignReport } from '../../src/queue/reader.js';

/** What the module says of the campaign. */
export interface FinalReport {
  /** Dates as text. */
  campaign?: Pick<CampaignReport, 'state' | 'total' | 'queued' | 'sent' | 'failed' | 'deferred' | 'lastError'>;
  failures: { recipient: string; reply: string }[];
  /** It could not be asked. */
  error?: string;
}

/** What came of a bulk message that was to be queued. */
export interface ProbeAnswer {
  milliseconds: number;
  /** The error's name; absent when it was queued. */
  error?: string;
  message?: string;
}
