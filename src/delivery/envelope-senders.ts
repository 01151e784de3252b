/** Makes the envelope senders of mails, which their bounces come back to. */
export interface EnvelopeSenders {
  /**
   * In ASCII.
   *
   * @param recipients of this envelope
   */
  of(id: string, recipients: readonly string[]): string;
}
