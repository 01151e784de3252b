import { hasSmtpSink } from '../../test/support/smtp-sink.js';
import { RecordingSink } from './recording-sink.js';
import { SmtpSink } from './smtp-sink.js';

/** An SMTP server that takes mail and throws it away. */
export interface Sink {
  readonly url: string;
  /**
   * Resolves as soon as it has taken so many mails in its life.
   *
   * @param within milliseconds
   */
  reached(total: number, within: number): Promise<void>;
  count(): Promise<number>;
  stop(): Promise<void>;
}

/** The fastest one that this machine has. */
export function startSink(): Promise<Sink> {
  return hasSmtpSink() ? SmtpSink.start() : RecordingSink.start();
}

/** For the reader of figures. */
export function sinkName(): string {
  return hasSmtpSink() ? "Postfix's smtp-sink" : 'the sink of bench/lib (this machine has no smtp-sink)';
}
