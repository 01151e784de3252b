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
  const { subject = '' } = await PostalMime.parse(headersOf(raw));
  return REQUEST.exec(subject)?.[1];
}

/** Of any mail's headers. */
const MAX_HEADERS = 64 * 1024;

/** Anybody can send a mail, and each line takes the parser its time. */
function headersOf(raw: Uint8Array | string): Uint8Array {
  const head = Buffer.from(typeof raw === 'string' ? raw.slice(0, MAX_HEADERS) : raw.subarray(0, MAX_HEADERS));
  const ends = ['\r\n\r\n', '\n\n'].map((end) => head.indexOf(end)).filter((end) => end >= 0);
  return head.subarray(0, Math.min(head.length, ...ends));
}
