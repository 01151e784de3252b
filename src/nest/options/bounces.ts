import { ReturnPaths } from '../../feedback/return-path.js';
import { asciiDomain, domainOf, isMailAddress } from '../../message/address.js';
import { fail, type OptionReader } from './reader.js';
import { parseSecrets } from './secrets.js';

/** Where bounces come back to, by mail. */
export interface BouncesConfig {
  /**
   * The mailbox. Each mail's envelope sender is this address with `+`, its id and a signature behind the local part, which has 20
   * characters at most. Its mail is to be handed to `readMail()`.
   */
  address: string;
  /**
   * Signs the addresses: 32 bytes or more as text, such as `openssl rand -base64 32` prints. Of a list the first signs, and all of
   * them verify. All processes that send, and those that read bounces, have the same.
   */
  secret: string | readonly string[];
}

const LOCAL_PART = /^[\w.-]{1,20}$/;

/** The option `bounces`; undefined without it. @throws MailConfigError which never shows a secret */
export function parseBounces(parent: OptionReader): ReturnPaths | undefined {
  if (parent.raw('bounces') === undefined) return undefined;
  const reader = parent.section('bounces');
  const address = reader.string('address');
  const remedy =
    'Give the address of a mailbox such as bounces@mail.example, whose local part has 1 to 20 letters, digits, ., - and _.';
  if (address === undefined || !isMailAddress(address)) fail(reader.pathOf('address'), address, remedy);
  const domain = domainOf(address);
  if (!LOCAL_PART.test(address.slice(0, -domain.length - 1)) || asciiDomain(domain) === '') {
    fail(reader.pathOf('address'), address, remedy);
  }
  const secrets = parseSecrets(reader, 'secret');
  reader.end();
  const [first, ...others] = secrets.map((secret) => Buffer.from(secret)) as [Buffer, ...Buffer[]];
  return new ReturnPaths(address, [first, ...others]);
}
