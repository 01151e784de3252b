import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Routes } from '../../src/transport/route.js';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp, type SmtpScript } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { guarded } from './routes.js';
import { Gate, mail, send, smtpTransport, subjectOf } from './smtp.js';
import { count, fakeTimers, started, startedScript } from './started.js';

afterEach(() => {
  vi.useRealTimers();
});

describe('start()', () => {
  it('opens minWarm connections, measures them, and the first messages use them', async () => {
    const { server, transport, roundTrips, failures } = await startedScript({}, { minWarm: 3 });
    expect(server.commands.map((line) => line.split(' ')[0]).sort()).toEqual([
      ...['EHLO', 'EHLO', 'EHLO'],
      ...['NOOP', 'NOOP', 'NOOP'],
    ]);
    expect(roundTrips).toHaveLength(3);
    await Promise.all([send(transport, mail('1')), send(transport, mail('2')), send(transport, mail('3'))]);
    expect(server.connections).toBe(3);
    expect(failures).toEqual([]);
  });

  it('keeps none for bulk mail', async () => {
    const { server, transport } = await startedScript({}, { lanes: ['bulk'], minWarm: 2 });
    expect(server.connections).toBe(0);
    await send(transport, mail(), { lane: 'bulk' });
    expect(server.connections).toBe(1);
  });

  it.each<[string, SmtpScript, object]>([
    ['refuses', { connect: () => '554 5.7.1 Go away' }, { phase: 'greeting', replyCode: 554 }],
    ['breaks off', { connect: () => 'drop' }, { phase: 'connect' }],
    ['refuses the login', { auth: () => '535 5.7.8 No', capabilities: ['AUTH PLAIN'] }, { phase: 'auth' }],
  ])('tells of a server that %s, and fails nobody', async (_, script, expected) => {
    const auth = { user: 'shop', pass: 's3cret' };
    const { server, failures } = await startedScript(script, { minWarm: 2, auth });
    expect(failures).toEqual([expect.objectContaining(expected), expect.objectContaining(expected)]);
    expect(server.connections).toBe(2);
  });

  it('holds up the application for three seconds at most', async () => {
    const server = await startScriptedSmtp({ connect: () => 'hang' });
    const routes = new Routes([guarded(smtpTransport(server.url, { minWarm: 1 }))], undefined);
    fakeTimers();
    let ready = false;
    const starting = routes.start().then(() => (ready = true));
    await eventually(() => server.connections === 1);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(ready).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await starting;
  });
});

describe('a resting connection', () => {
  it('gets a NOOP every keepAlive, counted from its last use', async () => {
    fakeTimers();
    const { server, transport, roundTrips } = await startedScript({}, { keepAlive: 20_000 });
    for (let noops = 2; noops <= 5; noops++) {
      await vi.advanceTimersByTimeAsync(19_999);
      expect(count(server, 'NOOP')).toBe(noops - 1);
      await vi.advanceTimersByTimeAsync(1);
      await eventually(() => roundTrips.length === noops);
      expect(count(server, 'NOOP')).toBe(noops);
    }
    await vi.advanceTimersByTimeAsync(15_000);
    await send(transport);
    await vi.advanceTimersByTimeAsync(19_999);
    expect(count(server, 'NOOP')).toBe(5);
    await vi.advanceTimersByTimeAsync(1);
    await eventually(() => count(server, 'NOOP') === 6);
    expect(server.connections).toBe(1);
  });

  it('gets none where keepAlive is 0, and is kept all the same', async () => {
    fakeTimers();
    const { server, transport } = await startedScript({}, { keepAlive: 0, idleTimeout: 60_000 });
    for (let minute = 0; minute < 10; minute++) await vi.advanceTimersByTimeAsync(60_000);
    await send(transport);
    expect([count(server, 'NOOP'), count(server, 'QUIT'), server.connections]).toEqual([1, 0, 1]);
  });

  it.each(['421 4.4.2 Idle for too long', '451 4.4.2 Timeout waiting for data'] as const)(
    'that the server ends with %s is replaced before a message needs it',
    async (reply) => {
      fakeTimers();
      const { server, transport, failures } = await startedScript();
      for (let round = 1; round <= 3; round++) {
        await vi.advanceTimersByTimeAsync(1_000);
        server.dismiss(reply);
        await eventually(() => count(server, 'NOOP') === round + 1 && server.open === 1);
      }
      // That of the last one, for its next NOOP.
      await eventually(() => vi.getTimerCount() === 1);
      await send(transport);
      expect([server.connections, failures]).toEqual([4, []]);
    },
  );

  it.each(['closes', 'resets'])('that the server %s is replaced before a message needs it', async (how) => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.url);
    fakeTimers();
    const { transport, failures, roundTrips } = await started(`smtp://127.0.0.1:${proxy.port}`, { minWarm: 2 });
    await vi.advanceTimersByTimeAsync(1_000);
    if (how === 'resets') proxy.cut();
    else {
      await server.stop();
      await server.resume();
    }
    await eventually(() => roundTrips.length === 4 && proxy.open === 2);
    await Promise.all([send(transport), send(transport)]);
    expect([proxy.connections, failures]).toEqual([4, []]);
  });

  it.each(['hang', 'drop', '421 4.4.2 Idle for too long'] as const)(
    'is replaced when its NOOP is answered with: %s',
    async (answer) => {
      fakeTimers();
      let well = true;
      const script: SmtpScript = { noop: (_, connection) => (connection === 1 && !well ? answer : undefined) };
      const { server, transport, roundTrips } = await startedScript(script);
      well = false;
      await vi.advanceTimersByTimeAsync(20_000);
      await eventually(() => count(server, 'NOOP') >= 2);
      if (answer === 'hang') {
        await vi.advanceTimersByTimeAsync(4_999);
        expect(server.connections).toBe(1);
        await vi.advanceTimersByTimeAsync(1);
      }
      await eventually(() => roundTrips.length === 2);
      await send(transport);
      expect([server.connections, server.messages.length]).toEqual([2, 1]);
    },
  );

  it('with a NOOP under way is waited for where that is sooner than a new connection', async () => {
    fakeTimers();
    const gate = new Gate();
    let gated = false;
    const { server, transport } = await startedScript({
      connect: (_, connection) => (connection > 1 ? 'hang' : undefined),
      noop: async () => void (gated && (await gate.pass())),
    });
    gated = true;
    await vi.advanceTimersByTimeAsync(20_000);
    await eventually(() => gate.waiting === 1);
    const sending = send(transport);
    await eventually(() => server.connections === 2);
    gate.open();
    await sending;
    expect(server.commands.at(-1)).toBe('DATA');
  });
});

describe('a message that finds the kept connection busy', () => {
  it('takes whichever is free first, that one or a new one', async () => {
    const [gate, door] = [new Gate(), new Gate()];
    const { server, transport } = await startedScript({
      connect: async (_, connection) => void (connection === 2 && (await door.pass())),
      message: async (text) => void (subjectOf(text) === 'slow' && (await gate.pass())),
    });
    const slow = send(transport, mail('slow'));
    await eventually(() => gate.waiting === 1);
    const second = send(transport, mail('second'));
    await eventually(() => door.waiting === 1);
    door.open();
    await second;
    expect(server.messages.map(subjectOf)).toEqual(['slow', 'second']);
    gate.open();
    await slow;
    expect(server.connections).toBe(2);
  });
});

describe('a server that closes what has been idle for a moment', () => {
  it('never fails a message', async () => {
    const server = await startSmtpServer({ idleTimeout: 1_500 });
    const { transport, failures } = await started(server.url, { minWarm: 2 });
    for (let round = 0; round < 2; round++) {
      const { connections } = server;
      await eventually(() => server.connections >= connections + 2);
      await Promise.all([send(transport), send(transport), send(transport, mail(), { lane: 'bulk' })]);
    }
    expect(server.received).toHaveLength(6);
    expect(failures).toEqual([]);
  });

  it('never fails a message that is on its way to it in that moment', async () => {
    const { server, transport } = await startedScript();
    for (let round = 0; round < 15; round++) {
      server.dismiss('421 4.4.2 Idle for too long');
      await send(transport, mail(`${round}`));
    }
    expect(server.taken.map(subjectOf)).toEqual(Array.from({ length: 15 }, (_, round) => `${round}`));
  });

  it('or at once is called again a second later, and not before', async () => {
    fakeTimers();
    const { server } = await startedScript({ noop: () => 'drop' });
    for (let connections = 1; connections <= 4; connections++) {
      // Meanwhile it could have been called many times.
      const other = await startedScript();
      for (let round = 0; round < 20; round++) await send(other.transport);
      expect(server.connections).toBe(connections);
      await vi.advanceTimersByTimeAsync(1_000);
      await eventually(() => server.connections === connections + 1 && server.open === 0);
    }
  });
});

describe('a connection that cannot be replaced', () => {
  it('is told of, and tried again until it can', async () => {
    const server = await startScriptedSmtp();
    const proxy = await startTcpProxy(server.url);
    const transport = smtpTransport(`smtp://127.0.0.1:${proxy.port}`, { minWarm: 1 });
    const guard = guarded(transport);
    onTestFinished(() => guard.close(0));
    fakeTimers();
    await guard.start();
    await vi.advanceTimersByTimeAsync(1_000);
    proxy.refuse();
    proxy.cut();
    for (const state of [{ failures: 1 }, { failures: 2 }, { state: 'open', openings: 1 }, { openings: 2 }]) {
      await eventually(() => expect(guard.standing.circuit).toMatchObject(state));
      await vi.advanceTimersByTimeAsync(1_000);
    }
    await proxy.accept();
    await vi.advanceTimersByTimeAsync(1_000);
    await eventually(() => expect(guard.standing.circuit).toMatchObject({ state: 'closed' }));
    await send(transport);
    expect(proxy.connections).toBe(2);
  });
});
