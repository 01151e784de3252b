import { Injectable } from '@nestjs/common';
import { OnMail, type MailEvents } from 'nestjs-priority-mail';

export interface MailLogEntry {
  at: Date;
  text: string;
  isTrouble: boolean;
}

const KEPT = 20;

/** What happened to mail of late, for whoever looks at the home page. */
@Injectable()
export class MailLog {
  private readonly entries: MailLogEntry[] = [];

  /** The latest first. */
  latest(): readonly MailLogEntry[] {
    return this.entries;
  }

  @OnMail('campaign-completed', { from: 'all' })
  completed({ name, total, sent, suppressed, startedAt, finishedAt }: MailEvents['campaign-completed']): void {
    if (total === 0) return;
    const seconds = ((finishedAt.getTime() - startedAt.getTime()) / 1_000).toFixed(1);
    const left = suppressed > 0 ? ` ${count(suppressed)} get no more mail.` : '';
    const reached = `“${name}” went out to ${count(sent)} of ${count(total)} readers in ${seconds} s.`;
    this.note(reached + left, sent + suppressed < total);
  }

  @OnMail('failed', { from: 'all' })
  failed({ recipients, reply }: MailEvents['failed']): void {
    this.note(`${recipients.join(', ')} could not be reached: ${reply}`, true);
  }

  @OnMail('collection-flushed')
  collected({ messages }: MailEvents['collection-flushed']): void {
    this.note(`A request queued its mail in one go: ${count(messages)}.`);
  }

  @OnMail('collection-discarded')
  discarded({ messages, reason }: MailEvents['collection-discarded']): void {
    this.note(`A request failed, and its mail is not sent: ${count(messages)}. ${reason}`, true);
  }

  @OnMail('transport-down', { from: 'all' })
  down({ transport, reason }: MailEvents['transport-down']): void {
    this.note(`The mail server ${transport} is down: ${reason}`, true);
  }

  @OnMail('transport-up', { from: 'all' })
  up({ transport }: MailEvents['transport-up']): void {
    this.note(`The mail server ${transport} works again.`);
  }

  private note(text: string, isTrouble = false): void {
    this.entries.unshift({ at: new Date(), text, isTrouble });
    this.entries.splice(KEPT);
  }
}

const count = (value: number): string => value.toLocaleString('en');
