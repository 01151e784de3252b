import type { BulkMailInput } from 'nestjs-priority-mail';

/** One issue of a newsletter: what it weighs, and which subscribers get it. */
export interface Issue {
  id: string;
  /** Of the HTML, about. */
  bytes: number;
  /** Number of the first subscriber. */
  first: number;
  count: number;
}

/** A mail as whoever sends them one by one writes it. */
export interface Letter {
  from: string;
  to: string;
  subject: string;
  text: string;
  html: string;
}

export const SENDER = 'Shop <no-reply@shop.test>';

const sentence = 'The new season is here, and with it what you have been asking for since last winter. ';
const paragraph = `<p>${sentence.repeat(4)}</p>\n`;
const paddings = new Map<number, string>();

export function subscriber(n: number) {
  return { to: `subscriber${n}@readers.test`, name: `Reader ${n}`, key: `k${n}` };
}

/** With merge fields in subject and bodies. */
export function newsletter({ id, bytes, first, count }: Issue): BulkMailInput {
  return { id, ...content('{{name}}', '{{key}}', bytes), recipients: recipients(first, count) };
}

/** The same mails, merged by their author. */
export function* letters({ bytes, first, count }: Issue): Generator<Letter> {
  for (let n = first; n < first + count; n++) {
    const { to, name, key } = subscriber(n);
    yield { from: SENDER, to, ...content(name, key, bytes) };
  }
}

function* recipients(first: number, count: number) {
  for (let n = first; n < first + count; n++) {
    const { to, name, key } = subscriber(n);
    yield { to, context: { name, key } };
  }
}

function content(name: string, key: string, bytes: number) {
  const link = `https://shop.test/unsubscribe/${key}`;
  return {
    subject: `News for ${name}`,
    text: `Hello ${name},\n\n${sentence.repeat(4)}\n\nUnsubscribe: ${link}\n`,
    html: `<html><body><h1>Hello ${name}</h1>
${padding(bytes)}<p><a href="${link}">Unsubscribe</a></p></body></html>`,
  };
}

function padding(bytes: number): string {
  const known = paddings.get(bytes) ?? paragraph.repeat(Math.max(1, Math.round((bytes - 150) / paragraph.length)));
  paddings.set(bytes, known);
  return known;
}
