import type { Lane, Source } from '../message/message.js';

/** A file of a message under test. */
export interface TestAttachment {
  filename?: string;
  contentType?: string;
  /** Set for those shown inside the HTML. */
  cid?: string;
  /** Its bytes, once the message was sent. */
  content?: Buffer;
}

/** What a test can look at in a message, be it sent or queued. */
export interface OutgoingMail {
  readonly status: 'sent' | 'queued';
  readonly id: string;
  readonly lane: Lane;
  /** Its envelope recipients: to, cc and bcc. */
  readonly to: readonly string[];
  readonly from: string;
  readonly subject: string;
  readonly text?: string;
  readonly html?: string;
  /** By their names in lower case; those of one name are joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly attachments: readonly TestAttachment[];
  /** The mail class or template that it comes from. */
  readonly source?: Source;
  /** The addresses that it links to, each once: of the HTML, then of the text. */
  links(): string[];
}

const HREF = /\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))/gi;
const RUN_IN_TEXT = /\bhttps?:\/\/[^\s<>"']+/g;
const URL_IN_TEXT = /^[^)\]]*[^)\].,;:!?]/;
const NAMED: Record<string, string> = { amp: '&', quot: '"', apos: "'", lt: '<', gt: '>' };

export function linksIn({ html = '', text = '' }: Pick<OutgoingMail, 'html' | 'text'>): string[] {
  const linked = [...html.matchAll(HREF)].map(([, double, single, bare]) => unescape(double ?? single ?? bare ?? ''));
  const told = (text.match(RUN_IN_TEXT) ?? []).flatMap(
    (run) => linked.find((link) => isAllOf(run, link)) ?? URL_IN_TEXT.exec(run)?.[0] ?? [],
  );
  return [...new Set([...linked, ...told])];
}

/** Whether nothing comes after it but the brackets and the full stop of what stands around it. */
function isAllOf(run: string, link: string): boolean {
  return link !== '' && run.startsWith(link) && /^[)\].,;:!?]*$/.test(run.slice(link.length));
}

/** Handlebars, for one, escapes `=` as well. */
function unescape(value: string): string {
  return value
    .replace(
      /&(?:(amp|quot|apos|lt|gt)|#(\d{1,7})|#x([\da-f]{1,6}));/gi,
      (entity, name?: string, decimal?: string, hex?: string) => {
        if (name !== undefined) return NAMED[name.toLowerCase()] ?? entity;
        const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal);
        return code <= 0x10ffff ? String.fromCodePoint(code) : entity;
      },
    )
    .trim();
}
