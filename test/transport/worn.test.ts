import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp, type ScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { Gate, mail, send, smtpTransport, subjectOf } from './smtp.js';
import { count, fakeTimers, started, startedScript } from './started.js';

afterEach(() => {
  vi.useRealTimers();
});

/** Lets idle connections have their NOOP, one keepAlive after the other. */
async function pass(keepAlives: number, server: ScriptedSmtp): Promise<void> {
  for (let round = 0; round < keepAlives; round++) {
    const noops = count(server, 'NOOP');
    await vi.advanceTimersByTimeAsync(20_000);
    await eventually(() => count(server, 'NOOP') > noops);
  }
}

describe('a kept connection that is used up', () => {
  it('by messages has its successor opened before, so that no message waits for one', async () => {
    const other = await startedScript();
    fakeTimers();
    const { server, transport } = await startedScript({}, { maxMessages: 10 });
    for (let message = 1; message <= 35; message++) {
      await send(transport, mail(`${message}`));
      // Time for what that has set going.
      await send(other.transport);
      // It is measured where nobody waits for it.
      await eventually(() => count(server, 'NOOP') === server.connections);
      if (message === 8) expect(server.connections).toBe(1);
      if (message === 9) expect([server.connections, count(server, 'QUIT')]).toEqual([2, 0]);
    }
    expect(server.connections).toBeGreaterThanOrEqual(4);
    expect(server.connections).toBeLessThanOrEqual(5);
    // What was left of the old ones is not needed, and they say goodbye.
    await pass(1, server);
    await eventually(() => server.open === 1 && count(server, 'QUIT') === server.connections - 1);
  });

  it('by messages is used to its end while its successor takes its time', async () => {
    const door = new Gate();
    const { server, transport } = await startedScript(
      { connect: async (_, connection) => void (connection === 2 && (await door.pass())) },
      { maxMessages: 20 },
    );
    for (let message = 1; message <= 20; message++) await send(transport);
    expect([server.connections, server.messages.length]).toEqual([2, 20]);
    door.open();
    await send(transport);
    expect(server.connections).toBe(2);
  });

  it.each([
    ['15 minutes', 900_000, 20_000],
    ['two minutes', 120_000, 20_000],
    ['two minutes, without NOOP', 120_000, 0],
  ])('by age of %s has its successor opened before, and says goodbye', async (_, maxAge, keepAlive) => {
    const other = await startedScript();
    fakeTimers();
    const { server, transport } = await startedScript({}, { maxAge, keepAlive });
    const opened: number[] = [];
    for (let second = 0; second < maxAge / 1_000 + 60 && count(server, 'QUIT') === 0; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      // Time for what that has set going.
      await send(other.transport);
      opened.push(server.connections);
    }
    await eventually(() => count(server, 'QUIT') === 1 && server.open === 1);
    // Seconds that the old one was alone, and that both were there.
    const alone = opened.filter((connections) => connections === 1).length;
    const both = opened.length - alone;
    expect(alone).toBeGreaterThanOrEqual((maxAge / 1_000) * 0.9 - 1);
    expect(both).toBeGreaterThan(0);
    expect(alone + both).toBeLessThanOrEqual(maxAge / 1_000 + 1);
    await send(transport);
    expect(server.connections).toBe(2);
  });

  it('is replaced by no more than maxConnections, those counted that the server has not let go', async () => {
    const open: number[] = [];
    const gate = new Gate();
    const note = () => void open.push(server.open);
    const server = await startScriptedSmtp({ ehlo: note, mail: note, quit: async () => void (await gate.pass()) });
    const { transport } = await started(server.url, { maxConnections: 2, minWarm: 2, maxMessages: 10 });
    const all = Array.from({ length: 40 }, (_, message) => `${message}`);
    const sending = all.map((subject) => send(transport, mail(subject)));
    await eventually(() => gate.waiting === 2);
    gate.open();
    await Promise.all(sending);
    expect(Math.max(...open)).toBe(2);
    expect(server.messages.map(subjectOf).sort()).toEqual(all.sort());
  });

  it('is replaced though its goodbye is not answered, where more may be open', async () => {
    // Who hangs up when nothing has come for a second waits for ever.
    fakeTimers();
    const { server, transport } = await startedScript({ quit: () => 'hang' }, { maxMessages: 2 });
    for (let message = 1; message <= 6; message++) await send(transport);
    await eventually(() => server.connections === 4);
    expect(server.open).toBe(4);
  });

  it('in the middle of a message ends after it', async () => {
    fakeTimers();
    const gate = new Gate();
    const { server, transport } = await startedScript(
      { message: async () => void (await gate.pass()) },
      { maxAge: 60_000 },
    );
    const sending = send(transport);
    await eventually(() => gate.waiting === 1);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(count(server, 'QUIT')).toBe(0);
    gate.open();
    await sending;
    await eventually(() => count(server, 'QUIT') === 1 && server.open === 1);
    expect(server.connections).toBe(2);
  });
});

describe('a connection more than minWarm', () => {
  it('is closed after idleTimeout, with a goodbye, and the others stay', async () => {
    fakeTimers();
    const gate = new Gate();
    const { server, transport } = await startedScript(
      { message: async () => void (await gate.pass()) },
      { minWarm: 2 },
    );
    const sending = Array.from({ length: 5 }, (_, index) => send(transport, mail(`${index}`)));
    await eventually(() => gate.waiting === 5);
    gate.open();
    await Promise.all(sending);
    // With a NOOP each, every 20 s.
    for (const noops of [5, 10]) {
      await vi.advanceTimersByTimeAsync(20_000);
      await eventually(() => count(server, 'NOOP') === 2 + noops);
    }
    expect([server.open, count(server, 'QUIT')]).toEqual([5, 0]);
    await vi.advanceTimersByTimeAsync(20_000);
    await eventually(() => server.open === 2);
    expect(count(server, 'QUIT')).toBe(3);
    await pass(20, server);
    expect([server.open, server.connections]).toEqual([2, 5]);
  });
});

describe('close()', () => {
  it.each([1, 3])('leaves none of %i kept connections, no NOOP under way and no timer', async (minWarm) => {
    fakeTimers();
    const gate = new Gate();
    let gated = false;
    const { server, transport, failures } = await startedScript(
      { noop: async () => void (gated && (await gate.pass())) },
      { minWarm, maxMessages: 2 },
    );
    // One of them begins its last message, and its successor is on its way.
    await send(transport);
    gated = true;
    await vi.advanceTimersByTimeAsync(20_000);
    await eventually(() => gate.waiting >= minWarm);
    await transport.close(1_000);
    await eventually(() => server.open === 0);
    gate.open();
    // For answers to QUIT.
    await vi.advanceTimersByTimeAsync(1_000);
    expect(vi.getTimerCount()).toBe(0);
    const { connections } = server;
    await vi.advanceTimersByTimeAsync(600_000);
    expect([server.connections, failures]).toEqual([connections, []]);
  });

  it('opens nothing more while messages in flight finish', async () => {
    const gate = new Gate();
    const server = await startSmtpServer({ onData: () => gate.pass() });
    const { transport } = await started(server.url, { minWarm: 2 });
    const sending = send(transport);
    await eventually(() => gate.waiting === 1);
    const closing = transport.close(60_000);
    await eventually(() => server.open === 1);
    gate.open();
    await Promise.all([sending, closing]);
    await eventually(() => server.open === 0);
    expect([server.connections, server.received.length]).toEqual([2, 1]);
  });

  it('ends what start() has not finished', async () => {
    const server = await startScriptedSmtp({ connect: () => 'hang' });
    const transport = smtpTransport(server.url, { minWarm: 3 });
    const failures: unknown[] = [];
    const starting = transport.start({ roundTrip: () => undefined, connectFailed: (error) => failures.push(error) });
    await eventually(() => server.open === 3);
    await transport.close(0);
    await starting;
    await eventually(() => server.open === 0);
    expect(failures).toEqual([]);
  });
});
