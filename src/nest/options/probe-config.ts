import type { Duration } from '../../message/duration.js';
import type { ServerLoad } from '../../transport/probe.js';

/** What all probes have in common. */
export interface CommonProbeConfig {
  /** From one answer to the next question. Default `'5s'`. */
  every?: Duration;
  /** For one answer. Default `'5s'`. */
  timeout?: Duration;
  /**
   * Told the figures, decides in place of the limits whether bulk mail may come. Its `state` is that of the time before. One that
   * throws, or takes longer than `timeout`, is a probe that failed.
   */
  admit?: (state: ServerLoad) => boolean | Promise<boolean>;
  /**
   * What bulk mail does while the probe has no answer: at first, and after two in a row were lost. Default `'wait'`; the
   * priority lane never waits.
   */
  onProbeFailure?: 'wait' | 'send';
}

/** Watches how fast the mail server answers. */
export interface SmtpProbeConfig extends CommonProbeConfig {
  type: 'smtp';
  /** Of a NOOP, and of the replies to messages on average. Less than `timeout`. Default `'3s'`. */
  maxLatency?: Duration;
}

/** Reads a status page beside the mail server, such as that of `priority-mail status-agent`. */
export interface HttpProbeConfig extends CommonProbeConfig {
  type: 'http';
  /** `https://mail.internal:8025/status`, or `http:`. Without credentials; redirects are not followed. */
  url: string;
  /** Sent as a bearer token. Default: none. */
  token?: string;
  /** Load average of a minute, per core. Default 2. */
  maxLoad?: number;
  /** Percent. Default 5. */
  minFreeMemory?: number;
  /** Of the spool's disk, in percent. Default 10. */
  minFreeDisk?: number;
  /** Messages in the mail server's own queue. Default: any number. */
  maxQueue?: number;
}

export type ProbeConfig = 'smtp' | SmtpProbeConfig | HttpProbeConfig;
