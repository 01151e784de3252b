import { isBase64Lines } from '../../mime/base64.js';
import { sizeOf } from '../../mime/encoded.js';
import type { Outgoing } from '../transport.js';
import type { Dialogue, Reply } from './dialogue.js';
import { stuffDots } from './dot-stuffing.js';

/** What the server said of itself in its answer to EHLO. */
export interface Capabilities {
  /** RFC 2920: MAIL, RCPT and DATA in one round trip. */
  pipelining: boolean;
  /** RFC 6531: addresses in UTF-8. */
  smtpUtf8: boolean;
  /** RFC 1870. */
  size: boolean;
  /** Octets of a message; 0 for no limit. */
  maxSize: number;
}

/** The server took the message for some of its recipients. */
export interface Taken {
  accepted: string[];
  refusals: Refusal[];
  /** Its final reply. */
  response: string;
}

/** The server refused a command, in the shape of nodemailer's errors. */
export class Refusal extends Error {
  readonly response: string;
  readonly responseCode?: number;
  readonly rejectedErrors?: Refusal[];

  constructor(
    readonly command: 'MAIL FROM' | 'RCPT TO' | 'DATA',
    { code, text }: Reply,
    readonly recipient?: string,
    /** Every recipient was refused. */
    rejectedErrors?: Refusal[],
  ) {
    super(text);
    this.response = text;
    if (code > 0) this.responseCode = code;
    if (rejectedErrors) this.rejectedErrors = rejectedErrors;
  }
}

/** The server waits for a body that it is not to get: the connection is of no more use. */
export class OutOfStep extends Error {
  /** @param refusal that it went on after; none when nobody wants the message to go any more */
  constructor(readonly refusal?: Refusal) {
    super(refusal?.message ?? 'It was no longer wanted');
  }
}

/** The server took a message that had not ended. */
export class TooEarly extends Error {
  constructor({ text }: Reply) {
    super(`The server answered before the message had ended: ${text}`);
  }
}

/** What the caller decides when the server asks for the body. */
export interface Handover {
  /** Right before the body is written. False keeps it back. */
  begin: () => boolean;
  /** Whether what was written may leave. Asked when it had to wait for another message to begin. */
  mayLeave: () => boolean;
  /** The body has been written. Returns whether another message follows at once (RFC 2920 §3.1). */
  written: () => boolean;
}

const NOT_ASCII = /[^\0-\x7f]/;
const NO_ADDRESS = /[\r\n<>]/;

/**
 * Sends one message over an open session (RFC 5321 §3.3).
 *
 * @param settle called once; with an error when the server took nothing
 */
export function transact(
  dialogue: Dialogue,
  server: Capabilities,
  outgoing: Outgoing,
  handover: Handover,
  settle: (error: Error | null, taken?: Taken) => void,
): void {
  const fault = faultOf(outgoing, server);
  if (fault) return settle(fault);
  const { from, to } = outgoing.envelope;
  const accepted: string[] = [];
  const refusals: Refusal[] = [];
  let refused: Refusal | undefined;

  /** A 421 is the last reply. */
  const unlessClosing =
    (command: Refusal['command'], listen: (reply: Reply) => void) =>
    (reply: Reply): void =>
      reply.code === 421 ? settle(new Refusal(command, reply)) : listen(reply);
  const onMail = (reply: Reply): void => {
    if (!isPositive(reply)) refused = new Refusal('MAIL FROM', reply);
  };
  const onRcpt = (recipient: string, reply: Reply): void => {
    if (isPositive(reply)) accepted.push(recipient);
    else refusals.push(new Refusal('RCPT TO', reply, recipient));
  };
  const onData = (reply: Reply): void => {
    const goesOn = reply.code >= 300 && reply.code < 400;
    refused ??= accepted.length === 0 ? noneAccepted(refusals) : undefined;
    if (!refused) {
      // Some servers say 250 where it should be 354.
      if (!goesOn && !isPositive(reply)) return settle(new Refusal('DATA', reply));
      if (!handover.begin()) return settle(new OutOfStep());
      const parts = [stuffDots(outgoing.headers), ...outgoing.body.map(stuffed)];
      const keptBack = (): void => settle(new OutOfStep());
      return dialogue.hand(parts, onEnd, handover.written, handover.mayLeave, keptBack);
    }
    if (!goesOn) return settle(refused);
    if (refused.command === 'MAIL FROM') return settle(new OutOfStep(refused));
    // It has nobody to go to, and ends at once.
    const error = refused;
    dialogue.say('.\r\n', () => settle(error));
  };
  const onEnd = (reply: Reply, isHanded: boolean): void => {
    const refusal = isPositive(reply) ? undefined : new Refusal('DATA', reply);
    // Nobody can have taken what has no end, and the rest of it would be taken for commands.
    if (!isHanded) return settle(refusal ? new OutOfStep(refusal) : new TooEarly(reply));
    if (refusal) return settle(refusal);
    settle(null, { accepted, refusals, response: reply.text });
  };

  const mail = `MAIL FROM:<${from}>${parametersOf(outgoing, server)}\r\n`;
  const rcpt = (recipient: string): string => `RCPT TO:<${recipient}>\r\n`;
  if (server.pipelining) {
    return dialogue.say(
      `${mail}${to.map(rcpt).join('')}DATA\r\n`,
      unlessClosing('MAIL FROM', onMail),
      ...to.map((recipient) => unlessClosing('RCPT TO', (reply) => onRcpt(recipient, reply))),
      unlessClosing('DATA', onData),
    );
  }
  const next = (index: number): void => {
    const recipient = to[index];
    if (recipient === undefined) {
      refused = accepted.length === 0 ? noneAccepted(refusals) : undefined;
      return refused ? settle(refused) : dialogue.say('DATA\r\n', unlessClosing('DATA', onData));
    }
    const onOne = (reply: Reply): void => {
      onRcpt(recipient, reply);
      next(index + 1);
    };
    dialogue.say(rcpt(recipient), unlessClosing('RCPT TO', onOne));
  };
  const onFirst = (reply: Reply): void => {
    onMail(reply);
    if (refused) settle(refused);
    else next(0);
  };
  dialogue.say(mail, unlessClosing('MAIL FROM', onFirst));
}

/** What was made as base64 has no dots, however long it is. */
function stuffed(piece: Buffer): Buffer {
  return isBase64Lines(piece) ? piece : stuffDots(piece);
}

function isPositive({ code }: Reply): boolean {
  return code >= 200 && code < 300;
}

function noneAccepted(refusals: Refusal[]): Refusal {
  const { responseCode: code = 0, response: text } = refusals[refusals.length - 1]!;
  return new Refusal('RCPT TO', { code, text }, undefined, refusals);
}

/** What a server could only misunderstand, or said it would not take. */
function faultOf(outgoing: Outgoing, { maxSize }: Capabilities): Error | undefined {
  const { from, to } = outgoing.envelope;
  const wrong = [from, ...to].find((address) => NO_ADDRESS.test(address));
  if (wrong !== undefined) return unsendable(`${JSON.stringify(wrong)} cannot be an envelope address`);
  if (to.length === 0) return unsendable('The envelope has no recipients');
  const size = sizeOf(outgoing);
  if (maxSize === 0 || size <= maxSize) return undefined;
  return unsendable(`The message has ${size} octets, more than the ${maxSize} that the server takes`);
}

/** In nodemailer's words: the message itself is at fault, and was not begun. */
function unsendable(message: string): Error {
  return Object.assign(new Error(message), { code: 'EMESSAGE' });
}

function parametersOf(outgoing: Outgoing, server: Capabilities): string {
  const { from, to } = outgoing.envelope;
  const utf8 = server.smtpUtf8 && [from, ...to].some((address) => NOT_ASCII.test(address)) ? ' SMTPUTF8' : '';
  return `${utf8}${server.size ? ` SIZE=${sizeOf(outgoing)}` : ''}`;
}
