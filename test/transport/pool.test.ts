import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp, type Respond } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { failure, Gate, mail, send, smtpTransport, subjectOf } from './smtp.js';

afterEach(() => {
  vi.useRealTimers();
});

/** A server that takes each message only when its gate is opened; the gate's name is the message's subject. */
async function startGatedServer() {
  const gates = new Map<string, Gate>();
  const gate = (subject: string) => {
    const found = gates.get(subject) ?? new Gate();
    gates.set(subject, found);
    return found;
  };
  const server = await startSmtpServer({ onData: ({ raw }) => gate(subjectOf(raw)).pass() });
  const held = () => [...gates.values()].reduce((sum, { waiting }) => sum + waiting, 0);
  return { server, gate, held };
}

describe('a connection', () => {
  it('carries one message after the other', async () => {
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url);
    for (const subject of ['1', '2', '3', '4']) await send(transport, mail(subject));
    expect(server.connections).toBe(1);
    expect(server.received.map(({ raw }) => subjectOf(raw))).toEqual(['1', '2', '3', '4']);
  });

  it('is closed when it has been unused for idleTimeout', async () => {
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url, { idleTimeout: 60_000, keepAlive: 0 });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await send(transport);
    await vi.advanceTimersByTimeAsync(59_999);
    await send(transport);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(server.open).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await eventually(() => server.open === 0);
    await send(transport);
    expect(server.connections).toBe(2);
  });

  it('is replaced after maxMessages, with a proper goodbye', async () => {
    const server = await startScriptedSmtp();
    const transport = smtpTransport(server.url, { maxMessages: 2 });
    for (let count = 0; count < 5; count++) await send(transport);
    expect(server.connections).toBe(3);
    await eventually(() => server.commands.filter((command) => command === 'QUIT').length === 2);
  });

  it('is cleaned up after a refused message, and goes on', async () => {
    const server = await startScriptedSmtp({
      rcpt: (line) => (line.includes('nobody') ? '550 5.1.1 Unknown' : undefined),
    });
    const transport = smtpTransport(server.url, { maxConnections: 1 });
    await failure(send(transport, mail('1', ['nobody@mail.test'])));
    await send(transport, mail('2'));
    expect(server.connections).toBe(1);
    expect(server.commands.map((command) => command.slice(0, 4))).toEqual([
      ...['EHLO', 'MAIL', 'RCPT', 'DATA'],
      ...['RSET', 'MAIL', 'RCPT', 'DATA'],
    ]);
  });

  it('is given up when it cannot be cleaned up', async () => {
    const server = await startScriptedSmtp({
      rcpt: (_, connection) => (connection === 1 ? '550 5.1.1 Unknown' : undefined),
      rset: () => 'drop',
    });
    const transport = smtpTransport(server.url, { maxConnections: 1 });
    await failure(send(transport, mail('1')));
    await send(transport, mail('2'));
    expect(server.connections).toBe(2);
    expect(server.commands).toContain('RSET');
  });
});

describe('a connection that the server has ended', () => {
  it('while it was idle is not used', async () => {
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url);
    await send(transport, mail('1'));
    await server.stop();
    await server.resume();
    await send(transport, mail('2'));
    expect(server.connections).toBe(2);
    expect(server.received.map(({ raw }) => subjectOf(raw))).toEqual(['1', '2']);
  });

  const second = (answer: Awaited<ReturnType<Respond>>): Respond => {
    const seen = new Map<number, number>();
    return (_, connection) => {
      seen.set(connection, (seen.get(connection) ?? 0) + 1);
      return connection === 1 && seen.get(1) === 2 ? answer : undefined;
    };
  };

  it.each([
    ['drops it at MAIL', { mail: second('drop') }],
    ['drops it at RCPT', { rcpt: second('drop') }],
    ['drops it at DATA', { data: second('drop') }],
    ['says 421 at MAIL', { mail: second('421 4.4.2 Idle for too long') }],
    ['says 421 at RCPT', { rcpt: second('421 4.7.0 Too many') }],
    ['says 421 at DATA', { data: second('421 4.3.2 Closing') }],
    ['says 421 after the message', { message: second('421 4.3.2 Closing') }],
    ['says 421 at MAIL, without PIPELINING', { mail: second('421 4.4.2 Idle for too long'), capabilities: [] }],
    ['says 421 at RCPT, without PIPELINING', { rcpt: second('421 4.7.0 Too many'), capabilities: [] }],
    ['says 421 at DATA, without PIPELINING', { data: second('421 4.3.2 Closing'), capabilities: [] }],
  ])('is replaced, and the message is sent once: it %s', async (_, script) => {
    let accepted = 0;
    const server = await startScriptedSmtp({
      ...script,
      message: async (...args) => {
        const answer = await ('message' in script ? script.message(...args) : undefined);
        if (!answer) accepted++;
        return answer;
      },
    });
    const transport = smtpTransport(server.url);
    await send(transport, mail('1'));
    await send(transport, mail('2'));
    expect(server.connections).toBe(2);
    expect(accepted).toBe(2);
    expect(subjectOf(server.messages.at(-1) ?? '')).toBe('2');
  });

  it('is replaced even when all idle ones are stale', async () => {
    const stale: Respond = (_, connection) => (connection <= 3 && server.messages.length >= 3 ? 'drop' : undefined);
    const gate = new Gate();
    const server = await startScriptedSmtp({
      mail: stale,
      message: async (_, connection) => {
        if (connection <= 3) await gate.pass();
        return undefined;
      },
    });
    const transport = smtpTransport(server.url, { maxConnections: 3 });
    const first = [1, 2, 3].map((number) => send(transport, mail(`${number}`)));
    await eventually(() => gate.waiting === 3);
    gate.open();
    await Promise.all(first);
    await send(transport, mail('4'));
    expect(server.messages).toHaveLength(4);
  });

  it('fails the message when it had carried none: no other will do better', async () => {
    const server = await startScriptedSmtp({ mail: () => '421 4.7.0 Too many connections' });
    const error = await failure(send(smtpTransport(server.url)));
    expect(error).toMatchObject({
      phase: 'mail',
      outcome: 'not-sent',
      permanent: false,
      replyCode: 421,
      scope: 'transport',
    });
    expect(error.reply).toBe('421 4.7.0 Too many connections');
    expect(server.connections).toBe(1);
  });
});

describe('several messages at once', () => {
  it('get connections up to maxConnections, and wait beyond', async () => {
    const { server, gate, held } = await startGatedServer();
    const transport = smtpTransport(server.url, { maxConnections: 3 });
    const subjects = Array.from({ length: 10 }, (_, index) => `${index}`);
    const sending = subjects.map((subject) => send(transport, mail(subject)));
    await eventually(() => held() === 3);
    for (const subject of subjects) gate(subject).open();
    await Promise.all(sending);
    expect(server.connections).toBe(3);
    expect(server.received).toHaveLength(10);
  });

  it('get no more connections than there are messages', async () => {
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url, { maxConnections: 50 });
    await Promise.all([send(transport), send(transport)]);
    await Promise.all([send(transport), send(transport)]);
    expect(server.connections).toBe(2);
  });

  it('leave in order, each on whichever connection is free first', async () => {
    const { server, gate, held } = await startGatedServer();
    const transport = smtpTransport(server.url, { maxConnections: 2 });
    const [a, b] = [send(transport, mail('a')), send(transport, mail('b'))];
    await eventually(() => held() === 2);
    const [c, d] = [send(transport, mail('c')), send(transport, mail('d'))];
    gate('b').open();
    await b;
    await eventually(() => held() === 3);
    gate('c').open();
    await c;
    gate('d').open();
    await d;
    gate('a').open();
    await a;
    const order = server.received.map(({ raw, connection }) => [subjectOf(raw), connection]);
    const [[, used] = []] = order;
    expect(order).toEqual([
      ['b', used],
      ['c', used],
      ['d', used],
      ['a', used === 1 ? 2 : 1],
    ]);
  });

  it('do not wait for a cold connection when a warm one frees', async () => {
    const gate = new Gate();
    const server = await startScriptedSmtp({
      connect: (_, connection) => (connection === 2 ? 'hang' : undefined),
      message: () => gate.pass().then(() => undefined),
    });
    const transport = smtpTransport(server.url);
    const first = send(transport, mail('1'));
    await eventually(() => gate.waiting === 1);
    const second = send(transport, mail('2'));
    await eventually(() => server.connections === 2);
    gate.open();
    await Promise.all([first, second]);
    expect(server.messages.map(subjectOf)).toEqual(['1', '2']);
  });

  it('wait for the open connections when the server takes no more', async () => {
    const gate = new Gate();
    const server = await startScriptedSmtp({
      connect: (_, connection) => (connection > 1 ? '421 4.7.0 Too many connections' : undefined),
      message: () => gate.pass().then(() => undefined),
    });
    const proxy = await startTcpProxy(server.url);
    const url = `smtp://127.0.0.1:${proxy.port}`;
    const transport = smtpTransport(url, { maxConnections: 2 });
    const first = send(transport, mail('1'));
    await eventually(() => gate.waiting === 1);
    vi.useFakeTimers({ toFake: ['Date'] });
    const second = send(transport, mail('2'));
    await eventually(() => proxy.connections === 2 && proxy.open === 1);

    // It is not asked again for a while. A connection that is made later would be seen later.
    const third = send(transport, mail('3'));
    await failure(send(smtpTransport(url)));
    expect(proxy.connections).toBe(3);
    vi.setSystemTime(Date.now() + 1_000);
    const fourth = send(transport, mail('4'));
    await eventually(() => proxy.connections === 4 && proxy.open === 1);

    gate.open();
    await Promise.all([first, second, third, fourth]);
    expect(server.messages.map(subjectOf)).toEqual(['1', '2', '3', '4']);
  });

  it('all fail when no connection can be made, and the next one tries again', async () => {
    const server = await startSmtpServer();
    server.pause();
    const transport = smtpTransport(server.url, { maxConnections: 2 });
    const errors = await Promise.all(['1', '2', '3'].map((subject) => failure(send(transport, mail(subject)))));
    for (const error of errors)
      expect(error).toMatchObject({ phase: 'connect', outcome: 'not-sent', scope: 'transport' });
    await server.resume();
    await send(transport);
    expect(server.received).toHaveLength(1);
  });

  it('of one lane have connections of their own', async () => {
    const { server, gate, held } = await startGatedServer();
    const transport = smtpTransport(server.url, { maxConnections: 2 });
    const bulk = ['1', '2', '3'].map((subject) => send(transport, mail(subject), { lane: 'bulk' }));
    await eventually(() => held() === 2);
    gate('urgent').open();
    await send(transport, mail('urgent'));
    expect(server.received.map(({ raw, connection }) => [subjectOf(raw), connection])).toEqual([['urgent', 3]]);
    for (const subject of ['1', '2', '3']) gate(subject).open();
    await Promise.all(bulk);
    expect(server.connections).toBe(3);
  });

  it('leave nothing behind on what they share', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on('warning', warned);
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url, { maxConnections: 20 });
    const { signal } = new AbortController();
    const listeners = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    await Promise.all(Array.from({ length: 100 }, () => send(transport, mail(), { signal })));
    for (let count = 0; count < 100; count++) await send(transport, mail(), { signal });
    // Warnings are emitted on the next tick.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warned);
    expect(warnings).toEqual([]);
    expect(removed).toHaveBeenCalledTimes(listeners.mock.calls.length);
    expect(server.received).toHaveLength(200);
  });
});
