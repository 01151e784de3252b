import { describe, expect, it } from 'vitest';
import type { SmtpTransport } from '../../src/transport/smtp/transport.js';
import type { Acceptance } from '../../src/transport/transport.js';
import { eventually } from '../support/eventually.js';
import {
  startScriptedSmtp,
  type ScriptedAnswer,
  type ScriptedSmtp,
  type SmtpScript,
} from '../support/scripted-smtp.js';
import { failure, Gate, mail, send, smtpTransport, subjectOf } from './smtp.js';

const ONE = { maxConnections: 1 };
/** A body that has ended, and the envelope of the next message behind it. */
const BEGUN = /\r\n\.\r\nMAIL FROM:.*\r\nRCPT TO:.*\r\nDATA\r\n$/;

const subjects = (messages: readonly string[]): string[] => messages.map(subjectOf);
const mailsOf = (heard = ''): number => heard.split('MAIL FROM:').length - 1;

function bulk(transport: SmtpTransport, ...names: string[]): Promise<Acceptance>[] {
  return names.map((name) => {
    const sending = send(transport, mail(name), { lane: 'bulk' });
    sending.catch(() => undefined);
    return sending;
  });
}

/** A server that answers the first body when it is told to, and what a test makes of all of them. */
async function startHolding({ message, ...script }: SmtpScript = {}): Promise<{ server: ScriptedSmtp; gate: Gate }> {
  const gate = new Gate();
  const server = await startScriptedSmtp({
    ...script,
    message: async (text, connection) => {
      if (subjectOf(text) === '1') await gate.pass();
      return (await message?.(text, connection)) ?? `250 2.0.0 Ok: queued as ${subjectOf(text)}`;
    },
  });
  return { server, gate };
}

const begun = (server: ScriptedSmtp): Promise<unknown> => eventually(() => BEGUN.test(server.heard[0] ?? ''));

/** A whole message to another server: what was written before it has long been heard. */
async function elsewhere(): Promise<void> {
  const other = await startScriptedSmtp();
  await send(smtpTransport(other.url));
}

describe('a bulk message', () => {
  it('says whom it is from and for while the one before it is being answered', async () => {
    const { server, gate } = await startHolding();
    const sending = bulk(smtpTransport(server.url, ONE), '1', '2', '3');
    await begun(server);
    await elsewhere();
    expect(gate.waiting).toBe(1);
    expect(mailsOf(server.heard[0])).toBe(2);
    gate.open();
    const answers = await Promise.all(sending);
    expect(answers.map(({ response }) => response)).toEqual(
      ['1', '2', '3'].map((subject) => `250 2.0.0 Ok: queued as ${subject}`),
    );
    expect(subjects(server.taken)).toEqual(['1', '2', '3']);
    expect(server.commands.map((command) => command.slice(0, 4))).toEqual([
      'EHLO',
      ...['MAIL', 'RCPT', 'DATA', 'MAIL', 'RCPT', 'DATA', 'MAIL', 'RCPT', 'DATA'],
    ]);
    expect(server.connections).toBe(1);
  });

  it.each([
    ['to a server without PIPELINING', 'bulk', []],
    ['of the priority lane', 'priority', ['PIPELINING']],
  ] as const)('waits for the answer before it: %s', async (_, lane, capabilities) => {
    const { server, gate } = await startHolding({ capabilities: [...capabilities] });
    const transport = smtpTransport(server.url, ONE);
    const sending = ['1', '2', '3'].map((subject) => send(transport, mail(subject), { lane }));
    await eventually(() => gate.waiting === 1);
    await elsewhere();
    expect(server.heard[0]).toMatch(/\r\n\.\r\n$/);
    gate.open();
    await Promise.all(sending);
    expect(server.heard[0]!.match(/\r\n\.\r\n(?=MAIL)/g)).toHaveLength(2);
    expect(server.connections).toBe(1);
  });

  it('begins on each connection, and no more than one', async () => {
    const gate = new Gate();
    const server = await startScriptedSmtp({ message: () => gate.pass().then(() => undefined) });
    const sending = bulk(smtpTransport(server.url, { maxConnections: 2 }), '1', '2', '3', '4', '5', '6');
    await eventually(() => server.heard.filter((heard) => BEGUN.test(heard)).length === 2);
    await elsewhere();
    expect(server.heard.map(mailsOf)).toEqual([2, 2]);
    gate.open();
    await Promise.all(sending);
    expect(subjects(server.taken).sort()).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(server.connections).toBe(2);
  });

  it('does not begin on a connection that has carried maxMessages', async () => {
    const { server, gate } = await startHolding();
    const sending = bulk(smtpTransport(server.url, { ...ONE, maxMessages: 2 }), '1', '2', '3', '4', '5');
    await begun(server);
    gate.open();
    await Promise.all(sending);
    expect(server.heard.map(mailsOf)).toEqual([2, 2, 1]);
    expect(subjects(server.taken)).toEqual(['1', '2', '3', '4', '5']);
  });

  it('that the server has no room for says nothing, and the one before it gets its answer', async () => {
    const { server, gate } = await startHolding({ capabilities: ['PIPELINING', 'SIZE 1000'] });
    const transport = smtpTransport(server.url, ONE);
    const [first] = bulk(transport, '1');
    const large = { ...mail('2'), body: [Buffer.alloc(2_000, 'large\r\n')] };
    const second = failure(send(transport, large, { lane: 'bulk' }));
    const [third] = bulk(transport, '3');
    expect(await second).toMatchObject({ outcome: 'not-sent', permanent: true, scope: 'message' });
    await elsewhere();
    expect(mailsOf(server.heard[0])).toBe(1);
    gate.open();
    await Promise.all([first, third]);
    expect(subjects(server.taken)).toEqual(['1', '3']);
    expect(server.connections).toBe(1);
  });
});

describe('each of two messages gets its own answer', () => {
  it.each<[string, ScriptedAnswer]>([
    ['1', '554 5.7.1 Spam'],
    ['1', '452 4.3.1 Full'],
    ['2', '554 5.7.1 Spam'],
    ['2', '452 4.3.1 Full'],
  ])('when message %s is answered by %s', async (refused, answer) => {
    const { server, gate } = await startHolding({
      message: (text) => (subjectOf(text) === refused ? answer : undefined),
    });
    const [first, second, third] = bulk(smtpTransport(server.url, ONE), '1', '2', '3');
    await begun(server);
    gate.open();
    const [loser, winner] = refused === '1' ? [first, second] : [second, first];
    expect(await failure(loser!)).toMatchObject({
      phase: 'final',
      outcome: 'not-sent',
      kind: answer.startsWith('5') ? 'message-refused' : 'busy',
      permanent: answer.startsWith('5'),
      reply: answer,
    });
    expect((await winner!).response).toBe(`250 2.0.0 Ok: queued as ${refused === '1' ? '2' : '1'}`);
    await third;
    expect(subjects(server.taken)).toEqual(['1', '2', '3'].filter((subject) => subject !== refused));
    expect(server.connections).toBe(1);
  });

  it.each<[string, ScriptedAnswer | undefined]>([
    ['refuses DATA', '554 5.5.1 No valid recipients'],
    ['asks for a body all the same', undefined],
  ])('when the second has no recipient: the session is reset where the server %s', async (_, answer) => {
    let nobody = false;
    const { server, gate } = await startHolding({
      rcpt: (line) => {
        nobody = line.includes('nobody');
        return nobody ? '550 5.1.1 Unknown' : undefined;
      },
      data: () => (nobody ? answer : undefined),
      message: (text) => (text === '' ? '554 5.5.1 No valid recipients' : undefined),
    });
    const transport = smtpTransport(server.url, ONE);
    const [first] = bulk(transport, '1');
    const second = failure(send(transport, mail('2', ['nobody@mail.test']), { lane: 'bulk' }));
    const [third] = bulk(transport, '3');
    await begun(server);
    gate.open();
    await Promise.all([first, third]);
    expect(await second).toMatchObject({ phase: 'rcpt', outcome: 'not-sent', scope: 'recipient', replyCode: 550 });
    expect(server.commands.map((command) => command.slice(0, 4))).toEqual([
      ...['EHLO', 'MAIL', 'RCPT', 'DATA', 'MAIL', 'RCPT', 'DATA', 'RSET', 'MAIL', 'RCPT', 'DATA'],
    ]);
    expect(subjects(server.taken)).toEqual(['1', '3']);
    expect(server.connections).toBe(1);
  });
});

describe('a connection that ends while a message has begun', () => {
  it.each<[string, ScriptedAnswer, object]>([
    [
      'by 421 fails the one that was answered',
      '421 4.3.2 Closing',
      { phase: 'final', outcome: 'not-sent', scope: 'transport', replyCode: 421 },
    ],
    ['without an answer leaves the first in doubt', 'drop', { phase: 'body', outcome: 'unknown', scope: 'message' }],
  ])('%s, and the other is sent over the next', async (_, answer, failed) => {
    const { server, gate } = await startHolding({
      message: (text) => (subjectOf(text) === '1' ? answer : undefined),
    });
    const [first, second] = bulk(smtpTransport(server.url, ONE), '1', '2');
    await begun(server);
    gate.open();
    expect(await failure(first!)).toMatchObject(failed);
    await second;
    expect(subjects(server.messages)).toEqual(['1', '2']);
    expect(server.connections).toBe(2);
  });

  it('by 421 to the one that has begun sends that over the next', async () => {
    const { server, gate } = await startHolding({
      mail: (_, connection) =>
        connection === 1 && server.messages.length > 0 ? '421 4.7.0 Too many messages' : undefined,
    });
    const sending = bulk(smtpTransport(server.url, ONE), '1', '2', '3');
    await begun(server);
    gate.open();
    await Promise.all(sending);
    expect(subjects(server.messages).sort()).toEqual(['1', '2', '3']);
    expect(server.connections).toBe(2);
  });

  it('because the one that has begun is not wanted any more, sends nothing of it', async () => {
    const { server, gate } = await startHolding();
    const transport = smtpTransport(server.url, ONE);
    let wanted = true;
    const [first] = bulk(transport, '1');
    const second = failure(
      transport.send(mail('2'), {
        lane: 'bulk',
        signal: new AbortController().signal,
        mayHandOver: () => wanted,
      }),
    );
    await begun(server);
    wanted = false;
    gate.open();
    await first;
    expect(await second).toMatchObject({ phase: 'queue', outcome: 'not-sent', permanent: false });
    await eventually(() => server.open === 0);
    expect(server.heard[0]).toMatch(BEGUN);
    await Promise.all(bulk(transport, '3'));
    expect(subjects(server.messages)).toEqual(['1', '3']);
    expect(server.connections).toBe(2);
  });

  it('because the body before it is not wanted any more when both are to leave, sends nothing of either', async () => {
    const { server } = await startHolding();
    const transport = smtpTransport(server.url, ONE);
    const { signal } = new AbortController();
    // Not held against the server either, or the bodies would leave alone from the fourth round on.
    for (let round = 1; round <= 4; round++) {
      let asked = 0;
      // As if the process were stopped for long between the writing of the body and the end of that turn.
      const mayHandOver = (): boolean => ++asked === 1;
      const first = failure(transport.send(mail('first'), { lane: 'bulk', signal, mayHandOver }));
      const [second] = bulk(transport, 'second');
      expect(await first).toMatchObject({ phase: 'queue', outcome: 'not-sent', permanent: false });
      await second;
      expect(asked).toBe(2);
    }
    expect(subjects(server.messages)).toEqual(['second', 'second', 'second', 'second']);
  });

  it('because nobody wanted the next is not held against the server', async () => {
    let gate = new Gate();
    const server = await startScriptedSmtp({ message: () => gate.pass().then(() => undefined) });
    const transport = smtpTransport(server.url, ONE);
    for (let round = 1; round <= 4; round++) {
      gate = new Gate();
      let wanted = true;
      const { signal } = new AbortController();
      const mayHandOver = (): boolean => wanted;
      const [first] = bulk(transport, 'first');
      const second = failure(transport.send(mail('second'), { lane: 'bulk', signal, mayHandOver }));
      await eventually(() => BEGUN.test(server.heard[round - 1] ?? ''));
      wanted = false;
      gate.open();
      await Promise.all([first, second]);
      await eventually(() => server.open === 0);
    }
  });
});

describe('a server that does not bear it', () => {
  /** Whether a message came over the connection before the one before it was answered. */
  const early = (server: ScriptedSmtp, connection: number): boolean =>
    /\r\n\.\r\nMAIL/.test(server.heard[connection - 1]!.slice(-200)) && BEGUN.test(server.heard[connection - 1]!);
  const ALL = ['1', '2', '3', '4', '5', '6', '7', '8'];

  it.each<ScriptedAnswer>([
    '500 5.5.1 Command unrecognized',
    '502 5.5.1 Not now',
    '503 5.5.1 Bad sequence of commands',
    '554 5.5.0 Error: SMTP protocol synchronization',
    '554 5.5.1 Improper command pipelining',
  ])('and says %s gets every message once, and nothing in advance again', async (answer) => {
    const offended: boolean[] = [];
    let offence = false;
    const { server, gate } = await startHolding({
      message: (_, connection) => {
        offence = early(server, connection);
        offended.push(offence);
        return undefined;
      },
      mail: () => (offence ? answer : undefined),
      rcpt: () => (offence ? '503 5.5.1 MAIL first' : undefined),
      data: () => (offence ? '503 5.5.1 RCPT first' : undefined),
      rset: () => ((offence = false), undefined),
    });
    const transport = smtpTransport(server.url, ONE);
    const sending = bulk(transport, ...ALL);
    await begun(server);
    gate.open();
    await Promise.all(sending);
    expect(offended).toEqual(ALL.map((_, index) => index === 0));
    expect(subjects(server.messages).sort()).toEqual(ALL);
    expect(server.connections).toBe(1);
  });

  it('and says 554 for another reason is believed, and no message is sent again', async () => {
    const { server, gate } = await startHolding({
      mail: (line) => (line.includes('FROM:<>') ? '554 5.7.1 No bounces here' : undefined),
    });
    const transport = smtpTransport(server.url, ONE);
    const [first] = bulk(transport, '1');
    const bounce = { ...mail('2'), envelope: { from: '', to: ['ann@mail.test'] } };
    const second = failure(send(transport, bounce, { lane: 'bulk' }));
    await begun(server);
    gate.open();
    expect(await second).toMatchObject({ phase: 'mail', replyCode: 554, permanent: true });
    await first;
    expect(server.commands.filter((command) => command.includes('FROM:<>'))).toHaveLength(1);
  });

  it('and drops the connection is not told in advance after three times', async () => {
    const offended: boolean[] = [];
    let offence = false;
    const { server, gate } = await startHolding({
      connect: () => ((offence = false), undefined),
      message: (_, connection) => {
        offence = early(server, connection);
        offended.push(offence);
        return undefined;
      },
      mail: () => (offence ? 'drop' : undefined),
    });
    const sending = bulk(smtpTransport(server.url, ONE), ...ALL);
    await begun(server);
    gate.open();
    await Promise.all(sending);
    expect(offended).toEqual(ALL.map((_, index) => index < 3));
    expect(subjects(server.messages).sort()).toEqual(ALL);
    expect(server.connections).toBe(4);
  });

  it('is not one that closes the connection before it has answered the message before', async () => {
    let gate = new Gate();
    const server = await startScriptedSmtp({
      message: async (text) => {
        if (subjectOf(text) !== 'first') return undefined;
        await gate.pass();
        return 'drop';
      },
    });
    const transport = smtpTransport(server.url, ONE);
    for (let round = 1; round <= 4; round++) {
      gate = new Gate();
      const [first, second] = bulk(transport, 'first', 'second');
      await eventually(() => gate.waiting === 1 && BEGUN.test(server.heard.at(-1)!));
      gate.open();
      expect(await failure(first!)).toMatchObject({ outcome: 'unknown' });
      await second;
    }
    expect(subjects(server.messages).filter((subject) => subject === 'second')).toHaveLength(4);
  });
});

describe('close()', () => {
  it('lets both messages finish, and begins no other', async () => {
    const { server, gate } = await startHolding();
    const transport = smtpTransport(server.url, ONE);
    const [first, second, third] = bulk(transport, '1', '2', '3');
    await begun(server);
    const closed = transport.close(20_000);
    expect(await failure(third!)).toMatchObject({ outcome: 'not-sent' });
    gate.open();
    await Promise.all([first, second, closed]);
    expect(subjects(server.messages)).toEqual(['1', '2']);
    await eventually(() => server.commands.at(-1) === 'QUIT');
  });

  it('hangs up when its time is over: one is in doubt, and the other was not sent', async () => {
    const { server } = await startHolding();
    const transport = smtpTransport(server.url, ONE);
    const [first, second] = bulk(transport, '1', '2');
    await begun(server);
    await transport.close(0);
    expect(await failure(first!)).toMatchObject({ outcome: 'unknown', scope: 'message' });
    expect(await failure(second!)).toMatchObject({ outcome: 'not-sent', scope: 'transport' });
    expect(server.connections).toBe(1);
  });
});

describe('patience', () => {
  const EVER = 600_000;

  it('for an answer is bodyTimeout, though the next message has begun', { timeout: 10_000 }, async () => {
    const { server } = await startHolding();
    const transport = smtpTransport(server.url, { ...ONE, bodyTimeout: 300, commandTimeout: EVER });
    const [first, second] = bulk(transport, '1', '2');
    await begun(server);
    expect(await failure(first!)).toMatchObject({ phase: 'body', outcome: 'unknown' });
    await second;
    expect(subjects(server.taken)).toEqual(['2']);
    expect(server.connections).toBe(2);
  });

  it('is not shortened to commandTimeout by the next message', async () => {
    const { server, gate } = await startHolding();
    const silent = await startScriptedSmtp({ mail: () => 'hang' });
    const sending = bulk(smtpTransport(server.url, { ...ONE, commandTimeout: 1_000 }), '1', '2');
    await begun(server);
    await failure(send(smtpTransport(silent.url, { commandTimeout: 1_200 })));
    gate.open();
    await Promise.all(sending);
    expect(server.connections).toBe(1);
  });

  it(
    'is bodyTimeout for a body that left before the answer to the one before was read',
    { timeout: 10_000 },
    async () => {
      const never = new Gate();
      const { server, gate } = await startHolding({
        message: async (text) => {
          if (subjectOf(text) === '2') await never.pass();
          return undefined;
        },
      });
      const transport = smtpTransport(server.url, { ...ONE, bodyTimeout: 300, commandTimeout: EVER });
      const [first, second] = bulk(transport, '1', '2');
      await begun(server);
      gate.open();
      await first;
      expect(await failure(second!)).toMatchObject({ phase: 'body', outcome: 'unknown' });
      expect(server.connections).toBe(1);
    },
  );

  it(
    'is commandTimeout for a message that has begun, once the one before it is answered',
    { timeout: 10_000 },
    async () => {
      const { server, gate } = await startHolding({
        mail: (_, connection) => (connection === 1 && server.messages.length > 0 ? 'hang' : undefined),
      });
      const transport = smtpTransport(server.url, { ...ONE, bodyTimeout: EVER, commandTimeout: 300 });
      const sending = bulk(transport, '1', '2');
      await begun(server);
      gate.open();
      await Promise.all(sending);
      expect(subjects(server.taken)).toEqual(['1', '2']);
      expect(server.connections).toBe(2);
    },
  );
});
