import fc from 'fast-check';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { Dialogue, type Reply } from '../../src/transport/smtp/dialogue.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { Listener } from '../support/listener.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { failure, mail, send, smtpTransport, subjectOf } from './smtp.js';

let client: Socket;
let server: Socket;

/** The two ends of a connection. */
async function open(): Promise<void> {
  const tcp = createServer({ noDelay: true });
  const listener = await Listener.open(tcp);
  const accepted = once(tcp, 'connection') as Promise<[Socket]>;
  client = connect(listener.port, '127.0.0.1');
  [server] = await accepted;
  listener.pause();
  const [near, far] = [client, server];
  atEnd(() => [near, far].map((socket) => socket.destroy()));
}

beforeEach(open);

/** Lets each chunk be read by itself. */
async function says(...chunks: (string | Buffer)[]): Promise<void> {
  for (const chunk of chunks) {
    const bytes = Buffer.from(chunk as string);
    const end = client.bytesRead + bytes.length;
    server.write(bytes);
    while (client.bytesRead < end) await once(client, 'data');
  }
}

/** A dialogue in which so many answers are awaited, what they were, and what came besides. */
function listen(count: number): { dialogue: Dialogue; replies: Reply[]; unasked: Reply[] } {
  const [replies, unasked]: Reply[][] = [[], []];
  const dialogue = new Dialogue(client, (reply) => unasked!.push(reply));
  const hear = (reply: Reply): unknown => replies!.push(reply);
  dialogue.say('NOOP\r\n'.repeat(count), ...Array.from({ length: count }, () => hear));
  return { dialogue, replies: replies!, unasked: unasked! };
}

const utf8 = fc.string({ unit: 'binary', maxLength: 12 }).map((text) => Buffer.from(text.replace(/[\r\n\ufffd]/g, '')));
const octets = fc
  .uint8Array({ maxLength: 12 })
  .map((bytes) => Buffer.from(bytes.filter((one) => one !== 10 && one !== 13)));
const wire = fc.array(
  fc.record({
    blank: fc.constantFrom('', '\r\n', ' \t\r\n'),
    // 421 is the last.
    code: fc.integer({ min: 200, max: 599 }).filter((code) => code !== 421),
    lines: fc.array(fc.oneof(utf8, octets), { minLength: 1, maxLength: 4 }),
    end: fc.constantFrom('\r\n', '\n'),
  }),
  { minLength: 1, maxLength: 5 },
);

describe('replies', () => {
  it('are the same however the octets come', async () => {
    await fc.assert(
      fc.asyncProperty(wire, fc.array(fc.nat(200), { maxLength: 12 }), async (sent, cuts) => {
        const parts = sent.map(({ blank, code, lines, end }) => {
          const own = lines.map((line, index) =>
            Buffer.concat([Buffer.from(`${code}${index + 1 < lines.length ? '-' : ' '}`), line]),
          );
          return {
            code,
            own,
            octets: Buffer.concat([Buffer.from(blank), ...own.flatMap((one) => [one, Buffer.from(end)])]),
          };
        });
        const all = Buffer.concat(parts.map(({ octets: some }) => some));
        const at = [0, ...cuts.map((cut) => cut % all.length).sort((a, b) => a - b), all.length];
        const { dialogue, replies, unasked } = listen(sent.length);
        await says(...at.slice(1).flatMap((end, index) => (end > at[index]! ? [all.subarray(at[index], end)] : [])));
        dialogue.end();
        const texts = parts.map(({ own }) =>
          Buffer.from(own.map((one) => one.toString('latin1')).join('\n'), 'latin1'),
        );
        expect(replies).toEqual(texts.map((text, index) => ({ code: sent[index]!.code, text: decoded(text) })));
        expect(unasked).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('answer the commands in their order, and one of several lines answers one', async () => {
    const { replies, unasked } = listen(3);
    await says('250-one\r\n250-\r\n250 two\r\n550 5.1.1 no\r\n354 go on\r\n');
    expect(replies).toEqual([
      { code: 250, text: '250-one\n250-\n250 two' },
      { code: 550, text: '550 5.1.1 no' },
      { code: 354, text: '354 go on' },
    ]);
    expect(unasked).toEqual([]);
  });

  it.each([
    ['UTF-8', Buffer.from('550 받는 사람이 없습니다'), '550 받는 사람이 없습니다'],
    ['octets of another charset', Buffer.from('550 Empfänger', 'latin1'), '550 Empfänger'],
    ['both, in one reply', Buffer.concat([Buffer.from('550-없음\n550 '), Buffer.from('für', 'latin1')]), undefined],
  ])('may be in %s', async (_, bytes, text = bytes.toString('latin1')) => {
    const { replies } = listen(1);
    // Between the octets of a character as well.
    await says(...[...bytes].map((octet) => Buffer.of(octet)), '\r\n');
    expect(replies).toEqual([{ code: 550, text }]);
  });

  it('have blank lines before them that mean nothing', async () => {
    const { replies, unasked } = listen(1);
    await says('\r\n', ' \r\n\n', '250 ok\r\n');
    expect({ replies, unasked }).toEqual({ replies: [{ code: 250, text: '250 ok' }], unasked: [] });
  });

  it.each(['hello', '25 short', '2500 long', 'HTTP/1.1 400 Bad Request'])('have a code, or none: %s', async (line) => {
    const { replies } = listen(1);
    await says(`${line}\r\n`);
    expect(replies).toEqual([{ code: 0, text: line }]);
  });

  it('that nobody asked for are told apart', async () => {
    const { replies, unasked } = listen(1);
    await says('250 ok\r\n421 4.4.2 Idle for too', ' long\r\n');
    expect(replies).toEqual([{ code: 250, text: '250 ok' }]);
    expect(unasked).toEqual([{ code: 421, text: '421 4.4.2 Idle for too long' }]);
  });

  it('may go on for a megabyte and no longer, in one line or in many', async () => {
    const line = `250-${'x'.repeat(2_000)}\r\n`;
    const some = listen(1);
    await says(line.repeat(500), '250 end\r\n');
    expect(some.replies[0]?.text).toHaveLength(500 * (line.length - 1) + '250 end'.length);
    expect(some.unasked).toEqual([]);
    some.dialogue.end();

    const many = listen(1);
    await says(line.repeat(600));
    expect(many.replies).toEqual([]);
    expect(many.unasked[0]).toEqual({ code: 0, text: 'The reply has no end' });
    many.dialogue.end();

    const one = listen(1);
    await says(`250 ${'x'.repeat(1024 * 1024)}`);
    expect(one.unasked[0]).toEqual({ code: 0, text: 'The reply has no end' });
  });

  it('are not heard after a 421, even in the same packet', async () => {
    const { replies, unasked } = listen(3);
    await says('250 ok\r\n421 4.3.2 Closing\r\n250 ok\r\n354 go on\r\n');
    expect({ replies: replies.map(({ code }) => code), unasked }).toEqual({ replies: [250, 421], unasked: [] });
  });

  it('are not heard after the end', async () => {
    const { dialogue, replies, unasked } = listen(1);
    dialogue.end();
    client.on('data', () => undefined);
    await says('250 late\r\n');
    expect([...replies, ...unasked]).toEqual([]);
  });
});

describe('last words without a line end', () => {
  it.each([
    ['421 4.3.2 Going down', { code: 421, text: '421 4.3.2 Going down' }],
    ['554-5.7.1 Go', { code: 554, text: '554-5.7.1 Go' }],
    ['250 ok', undefined],
    ['42', undefined],
    ['4210 no code', undefined],
    ['', undefined],
  ])('are %j', async (text, words) => {
    const { dialogue, replies, unasked } = listen(2);
    await says(`${text}`);
    expect(replies).toEqual([]);
    dialogue.finish();
    dialogue.finish();
    expect({ replies, unasked }).toEqual({ replies: words ? [words] : [], unasked: [] });
  });

  it('are the reason when the server hangs up on them', async () => {
    const goodbye = await startHangUp('421 4.3.2 Going down for maintenance');
    const error = await failure(send(smtpTransport(goodbye.url)));
    expect(error).toMatchObject({ phase: 'mail', outcome: 'not-sent', replyCode: 421, scope: 'transport' });
    expect(error.reply).toBe('421 4.3.2 Going down for maintenance');
  });

  it('that promise nothing are not taken for an answer', async () => {
    const goodbye = await startHangUp('250 2.1.0 O');
    const error = await failure(send(smtpTransport(goodbye.url)));
    expect(error).toMatchObject({ outcome: 'not-sent', scope: 'transport', reply: 'The server closed the connection' });
    expect(error.replyCode).toBeUndefined();
  });
});

describe('a session', () => {
  it('ends with a reply that has no end, and the next message has another', async () => {
    const endless = await startScriptedSmtp({
      mail: (_, connection) => (connection === 1 ? `250-${'x'.repeat(3 * 1024 * 1024)}` : undefined),
    });
    const transport = smtpTransport(endless.url, { maxConnections: 1 });
    const error = await failure(send(transport));
    expect(error).toMatchObject({
      outcome: 'not-sent',
      scope: 'transport',
      reply: 'Unexpected reply: The reply has no end',
    });
    await send(transport, mail('2'));
    expect(endless.messages.map(subjectOf)).toEqual(['2']);
    await eventually(() => endless.open === 1);
  });

  it('ends with an answer too many', async () => {
    const talkative = await startScriptedSmtp({
      message: (_, connection) => (connection === 1 ? '250 2.0.0 Ok\n250 2.0.0 Ok again' : undefined),
    });
    const transport = smtpTransport(talkative.url, { maxConnections: 1 });
    await send(transport, mail('1'));
    await eventually(() => talkative.open === 0);
    await send(transport, mail('2'));
    expect(talkative.connections).toBe(2);
    expect(talkative.messages.map(subjectOf)).toEqual(['1', '2']);
  });
});

/** Answers EHLO, and MAIL with these words alone. */
async function startHangUp(words: string): Promise<{ url: string }> {
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      if (bytes.toString().startsWith('MAIL')) socket.end(words);
      else socket.write('250-hangup.test\r\n250 PIPELINING\r\n');
    });
    socket.write('220 hangup.test ESMTP\r\n');
  });
  const listener = await Listener.open(tcp);
  atEnd(() => listener.pause());
  return { url: `smtp://127.0.0.1:${listener.port}` };
}

function decoded(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}
