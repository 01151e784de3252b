import { Logger } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { MailConfigError, reasonOf } from '../../errors.js';
import type { Feedback } from '../../feedback/feedback.js';
import { scopeOfList, type SuppressionList } from '../../feedback/suppression.js';
import { tokenInMail } from '../../feedback/unsubscribe-mail.js';
import type { UnsubscribeClaims, UnsubscribeToken, UnsubscribeTokens } from '../../feedback/unsubscribe-token.js';
import type { Resubscription, Unsubscription, UnsubscriptionWay } from './unsubscription.js';

/** What unsubscriptions need of a mailer. */
export interface UnsubscriptionPorts {
  tokens: UnsubscribeTokens | undefined;
  suppressions: Pick<SuppressionList, 'get' | 'add' | 'remove'> | undefined;
  /** To events, statistics and the campaign's report. */
  report: ((feedback: Feedback) => Promise<unknown>) | undefined;
  onUnsubscribe?: ((unsubscription: Unsubscription) => unknown) | undefined;
  onResubscribe?: ((resubscription: Resubscription) => unknown) | undefined;
}

/**
 * Unsubscribes those who ask for it by the link of a mail. `MailUnsubscribeModule` serves the links; this is for requests that
 * come another way, such as by mail or to a page of your own.
 *
 * ```ts
 * await mail.unsubscriptions.unsubscribeByMail(raw);
 * ```
 */
export class MailUnsubscriptions {
  private readonly logger = new Logger('MailService');

  /** @internal */
  constructor(private readonly ports: UnsubscriptionPorts) {}

  /**
   * What a link's token says. Reading it changes nothing.
   *
   * @throws MailConfigError without the option `unsubscribe`
   */
  read(token: string): UnsubscribeToken {
    if (this.ports.tokens) return this.ports.tokens.verify(token);
    throw new MailConfigError(
      'The mail option unsubscribe.secret is not set. It is what the links of mails are made with.',
    );
  }

  /**
   * Puts the address of a link on the suppression list, any number of times. Resolves when it is there; workers hear of it within
   * half a second or so, and a mail that is on its way by then still arrives.
   *
   * @returns what the token says; nothing was done unless it is `valid`
   * @throws MailQueueUnavailableError the store cannot be reached: ask the reader to try again
   * @throws whatever `unsubscribe.onUnsubscribe` throws
   */
  async unsubscribe(token: string, via: UnsubscriptionWay = 'page'): Promise<UnsubscribeToken> {
    const read = this.read(token);
    if (read.state === 'valid') await this.leave(read.claims, via);
    return read;
  }

  /**
   * Takes a mail that came to the `mailto` address, with its token in the subject.
   *
   * @param raw the mail as it arrived
   * @returns what the token says; `invalid` also where there is none
   */
  async unsubscribeByMail(raw: Uint8Array | string): Promise<UnsubscribeToken> {
    const token = await tokenInMail(raw);
    return token === undefined ? { state: 'invalid' } : this.unsubscribe(token, 'mail');
  }

  /**
   * Takes an unsubscription back, any number of times. An address that is suppressed for another reason stays so.
   *
   * @returns what the token says; nothing was done unless it is `valid`
   * @throws MailQueueUnavailableError the store cannot be reached
   * @throws whatever `unsubscribe.onResubscribe` throws
   */
  async resubscribe(token: string): Promise<UnsubscribeToken> {
    const read = this.read(token);
    if (read.state !== 'valid') return read;
    const { address, id, list } = read.claims;
    const scope = scopeOfList(list);
    const removed = await this.suppressions.remove(address, { scope, reason: 'unsubscribed' });
    const about = { address, scope, id, ...(list === undefined ? {} : { list }) };
    await this.ports.onResubscribe?.({ ...about, repeated: !removed });
    return read;
  }

  private get suppressions(): NonNullable<UnsubscriptionPorts['suppressions']> {
    if (this.ports.suppressions) return this.ports.suppressions;
    throw new MailConfigError(
      'There is no suppression list to unsubscribe from: the mail module was configured with queue: false.',
    );
  }

  private async leave({ address, id, list }: UnsubscribeClaims, via: UnsubscriptionWay): Promise<void> {
    const { suppressions } = this;
    const scope = scopeOfList(list);
    const about = { address, ...(list === undefined ? {} : { list }) };
    const known = await suppressions.get(address);
    // For a graver reason it may be there only for a while.
    const repeated = known.some((one) => one.scope === scope && one.reason === 'unsubscribed');
    if (!repeated) {
      const at = new Date();
      const note = `By ${via}, from message ${id}`;
      await suppressions.add([{ address, scope, reason: 'unsubscribed', since: at, note }]);
      await this.report({ ...about, id, at, reply: note });
    }
    await this.ports.onUnsubscribe?.({ ...about, scope, id, via, repeated });
  }

  /** What is not counted is unsubscribed all the same. */
  private async report({ id, ...about }: Pick<Feedback, 'address' | 'at' | 'reply'> & { id: string }): Promise<void> {
    // Who comes back and leaves again is reported again.
    const said = `${id}\0${about.address}\0${about.at.getTime()}`;
    const key = createHash('sha256').update(said).digest('base64url');
    try {
      await this.ports.report?.({ ...about, key, type: 'unsubscribed', source: 'unsubscribe', match: { id } });
    } catch (cause) {
      this.logger.error(`An unsubscription could not be reported: ${reasonOf(cause)}`);
    }
  }
}
