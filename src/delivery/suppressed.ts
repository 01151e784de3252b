import { MailDeliveryError } from '../errors.js';
import { suppressionReply, type Suppression } from '../feedback/suppression.js';

/** By their addresses, as they are given. */
export type Suppressed = ReadonlyMap<string, Suppression>;

/** None of a message's recipients is to get it. */
export class SuppressedMailError extends MailDeliveryError {
  constructor(
    id: string,
    readonly suppressed: Suppressed,
  ) {
    const each = Array.from(suppressed, ([address, why]) => `${address}: ${suppressionReply(why)}`);
    super(id, [], {
      message: `Message ${id} is not sent. ${each.join('; ')}`,
      permanent: true,
      code: 'SUPPRESSED',
    });
    this.name = MailDeliveryError.name;
  }
}
