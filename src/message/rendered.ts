import { MailContentDto } from './dto.js';
import { ownParts, type Content, type OwnParts } from './message.js';
import { instantiate, parseContent, unfilledFaults, validate, type MessageRules } from './parse.js';
import { headerFault } from './text.js';

const PARTS: ReadonlySet<string> = new Set<keyof OwnParts>(['subject', 'text', 'html']);
const FIELDS: ReadonlySet<string> = new Set([...PARTS, 'from', 'replyTo', 'headers', 'attachments']);

/** What a mail class or a template says, checked. `more` is there when it says anything but the usual parts. */
export interface RenderedContent extends OwnParts {
  more?: Pick<Content, 'from' | 'replyTo' | 'headers' | 'attachments'>;
}

/**
 * Checks what was rendered, by the rules of `send()`.
 *
 * @param rules their `from` is the sender where none was rendered
 * @throws MailValidationError with every fault
 */
export async function parseRendered(rendered: unknown, rules: MessageRules): Promise<RenderedContent> {
  if (isSimple(rendered, rules)) return wellFormed(rendered);
  const dto = instantiate(MailContentDto, rendered, 'content');
  const unknown = Object.keys(dto).filter((key) => !FIELDS.has(key));
  for (const key of unknown) delete (dto as unknown as Record<string, unknown>)[key];
  const faults = validate(dto);
  faults.push(...unknown.map((path) => ({ path, message: 'is not a field of what can be rendered' })));
  faults.push(...unfilledFaults(dto, faults));
  const { from, replyTo, headers, attachments, text, html } = await parseContent(dto, rules, faults);
  const parts = wellFormed({ subject: dto.subject, text, html });
  return Object.keys(dto).every((key) => PARTS.has(key))
    ? parts
    : { ...parts, more: { from, replyTo, headers, attachments } };
}

/** Nearly all that is ever rendered: parts that are as they should be, seen at a fraction of the cost. */
function isSimple(rendered: unknown, { limits }: MessageRules): rendered is OwnParts {
  if (typeof rendered !== 'object' || rendered === null || Array.isArray(rendered)) return false;
  for (const key in rendered) if (!PARTS.has(key)) return false;
  const { subject, text, html } = rendered as Record<string, unknown>;
  return (
    isPart(subject, limits.subjectBytes) &&
    (subject === undefined || headerFault(subject) === undefined) &&
    isPart(text, limits.bodyBytes) &&
    isPart(html, limits.bodyBytes)
  );
}

function isPart(value: unknown, limit: number): value is string | undefined {
  if (value === undefined) return true;
  if (typeof value !== 'string' || value.includes('\0')) return false;
  // A character takes three bytes at most.
  return value.length * 3 <= limit || Buffer.byteLength(value) <= limit;
}

function wellFormed({ subject, text, html }: OwnParts): OwnParts {
  return ownParts({
    subject: subject?.toWellFormed(),
    text: text?.toWellFormed(),
    html: html?.toWellFormed(),
  });
}
