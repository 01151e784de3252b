import PostalMime from 'postal-mime';

/** What the subject of a request by mail has behind a word that mail programs keep. */
const REQUEST = /\bunsubscribe\s+([\w-]{30,1000})(?![\w-])/i;

/**
 * The token in a mail to the `mailto` address of a List-Unsubscribe header: in its subject, which mail programs take from the
 * header. Undefined: it asks for nothing, or somebody wrote it by hand.
 *
 * @param raw the mail as it arrived
 */
export async function tokenInMail(raw: Uint8Array | string): Promise<string | undefined> {
  const { subject = '' } = await PostalMime.parse(raw);
  return REQUEST.exec(subject)?.[1];
}
