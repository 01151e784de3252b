/** How large a message may be. Every one is an option (`limits.*`). */
export interface Limits {
  /** to, cc and bcc of one `send()` together. Default 100 (RFC 5321 §4.5.3.1.8 guarantees that a server takes 100). */
  recipients: number;
  /** UTF-8 bytes of the subject. Default 2,000. */
  subjectBytes: number;
  /** UTF-8 bytes of text and HTML, each. Default 2 MB. */
  bodyBytes: number;
  /** Custom headers. Default 50. */
  headers: number;
  /** UTF-8 bytes of one header's value. Default 8,192. */
  headerBytes: number;
  /** Attachments of one message. Default 50. */
  attachments: number;
  /** Bytes of all attachments of one message. Default 25 MB. */
  attachmentBytes: number;
  /** Bytes of JSON of one recipient's `context`, or of one entry of `groups`. Default 64 KB. */
  contextBytes: number;
  /** Entries of `groups`. Default 10,000. */
  groups: number;
}

export const DEFAULT_LIMITS: Limits = {
  recipients: 100,
  subjectBytes: 2_000,
  bodyBytes: 2 * 1024 * 1024,
  headers: 50,
  headerBytes: 8_192,
  attachments: 50,
  attachmentBytes: 25 * 1024 * 1024,
  contextBytes: 64 * 1024,
  groups: 10_000,
};
