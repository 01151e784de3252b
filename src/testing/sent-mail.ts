import { splitMessageId } from '../message/ids.js';
import type { Lane, Source } from '../message/message.js';
import type { Envelope } from '../transport/transport.js';
import { leavesOf, readMime, type Part } from './mime-reader.js';
import { linksIn, type OutgoingMail, type TestAttachment } from './outgoing-mail.js';
import type { Sources } from './sources.js';

/** A message that a transport has taken, read from the bytes that it was given. */
export class SentMail implements OutgoingMail {
  readonly status = 'sent';
  readonly at = new Date();
  private read: Part | undefined;

  /**
   * @param bytes its source (RFC 5322)
   * @param envelope with the recipients that it was taken for
   */
  constructor(
    readonly transport: string,
    readonly lane: Lane,
    readonly envelope: Envelope,
    private readonly bytes: Buffer,
    private readonly sources: Sources,
  ) {}

  get id(): string {
    return idOf(this.headers['message-id'] ?? '');
  }

  get to(): readonly string[] {
    return this.envelope.to;
  }

  get from(): string {
    return this.headers['from'] ?? '';
  }

  get subject(): string {
    return this.headers['subject'] ?? '';
  }

  get source(): Source | undefined {
    return this.sources.of(this.id);
  }

  /** Its source (RFC 5322), as it went over the wire. */
  get raw(): string {
    return this.bytes.toString('utf8');
  }

  get headers(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.part.headers].map(([name, values]) => [name, values.join(', ')]));
  }

  get text(): string | undefined {
    return this.body('text/plain');
  }

  get html(): string | undefined {
    return this.body('text/html');
  }

  get attachments(): readonly TestAttachment[] {
    return leavesOf(this.part)
      .filter((leaf) => !isBody(leaf))
      .map(({ filename, contentType, content, headers }) => {
        const cid = headers.get('content-id')?.[0]?.replace(/^<|>$/g, '');
        return {
          ...(filename === undefined ? {} : { filename }),
          contentType,
          ...(cid === undefined ? {} : { cid }),
          content,
        };
      });
  }

  links(): string[] {
    return linksIn(this);
  }

  private get part(): Part {
    return (this.read ??= readMime(this.bytes));
  }

  /** With `\n` between its lines and none after the last. */
  private body(contentType: string): string | undefined {
    const leaf = leavesOf(this.part).find((one) => isBody(one) && one.contentType === contentType);
    return leaf?.content.toString('utf8').replaceAll('\r\n', '\n').replace(/\n$/, '');
  }
}

function isBody({ contentType, disposition, filename }: Part): boolean {
  return filename === undefined && disposition !== 'attachment' && /^text\/(plain|html)$/.test(contentType);
}

/** A Message-ID's left half is the message's id. */
function idOf(messageId: string): string {
  const id = /^<([^@>]*)@/.exec(messageId)?.[1] ?? '';
  return splitMessageId(id) ? id : '';
}
