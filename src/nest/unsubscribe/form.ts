import type { IncomingMessage } from 'node:http';
import { readBody, type NoBody } from '../request-body.js';

/** A request may have been read by the application's own parser. */
export type FormRequest = IncomingMessage & { body?: unknown };

/** A form by its fields' names, or why it cannot be read. */
export type Form = ReadonlyMap<string, string> | NoBody;

/** Bytes. A one-click request has 26 of them, or some 200 as multipart/form-data. */
const MAX_BODY = 4_096;
/** Milliseconds. */
const READ_WITHIN = 10_000;

/** The fields of a small form, as either of the media types that RFC 8058 §3.2 allows; whatever parses bodies here otherwise. */
export async function readForm(request: FormRequest): Promise<Form> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY) return 'too large';
  const { body } = request;
  if (request.readableDidRead) {
    if (typeof body === 'string' || Buffer.isBuffer(body)) return fieldsOf(body.toString());
    return new Map(
      Object.entries(body ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  }
  const read = await readBody(request, { max: MAX_BODY, within: READ_WITHIN });
  return Buffer.isBuffer(read) ? fieldsOf(read.toString()) : read;
}

/** One field of multipart/form-data (RFC 7578). */
const PART = /^content-disposition:[^\r\n]*[; ]name="?([\w-]+)"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]*)/gim;

function fieldsOf(body: string): Map<string, string> {
  const parts = [...body.matchAll(PART)].map(([, name = '', value = '']): [string, string] => [name, value]);
  return new Map(parts.length > 0 ? parts : new URLSearchParams(body.trim()));
}
