import type { Address } from '../message/address.js';
import type { Rendering, Source } from '../message/message.js';

/** A message to make. */
export interface RenderRequest extends Omit<Rendering, 'ownSender'> {
  to: readonly Address[];
}

/** Makes messages from their data, where they are sent. */
export interface Renderer {
  /**
   * Why nothing can be made from this source here, such as a mail class that only a newer release has. Its queued messages
   * wait then. Undefined: it can.
   */
  missing(source: Source): string | undefined | Promise<string | undefined>;
  /**
   * What a mail class or a template says, in nodemailer's field names; not checked yet.
   *
   * @throws anything: this message alone cannot be made
   */
  render(request: RenderRequest): Promise<unknown>;
}
