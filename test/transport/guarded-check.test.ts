import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { notAsked } from '../../src/transport/transport.js';
import { failure, Gate } from './smtp.js';
import { downStub, guardedStub, NOW, trouble } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the background check', () => {
  it('follows a second after a failure that did not open the circuit', async () => {
    const { stub, guard, send, told } = guardedStub();
    stub.onSend = () => Promise.reject(trouble());
    await failure(send());
    await vi.advanceTimersByTimeAsync(999);
    expect(stub.checks).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(stub.checks).toBe(1);
    // A login says nothing about a provider that fails at the messages.
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 1 });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(stub.checks).toBe(1);
    expect(told).toEqual([]);
  });

  it('opens the circuit without another message, goes on ever less often, and closes it by itself', async () => {
    const { stub, guard, send, told } = guardedStub();
    stub.onSend = stub.onVerify = () => Promise.reject(trouble());
    await failure(send());
    await vi.advanceTimersByTimeAsync(2_000);
    const reason = 'main at connect: connect ECONNREFUSED';
    const down = { transport: 'main', region: 'eu', reason, retryAt: new Date(NOW + 3_000) };
    expect(told).toEqual([{ 'transport-down': down }]);
    expect(stub.checks).toBe(2);
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60]) {
      const { checks } = stub;
      await vi.advanceTimersByTimeAsync(pause * 1_000 - 1);
      expect(stub.checks).toBe(checks);
      await vi.advanceTimersByTimeAsync(1);
      expect(stub.checks).toBe(checks + 1);
    }
    expect(stub.sends).toBe(1);
    expect(told).toHaveLength(1);
    stub.onVerify = () => Promise.resolve();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 2 });
    const downFor = Date.now() - (NOW + 2_000);
    expect(told[1]).toEqual({ 'transport-up': { transport: 'main', region: 'eu', downFor } });
    await vi.advanceTimersByTimeAsync(600_000);
    expect([stub.checks, vi.getTimerCount()]).toEqual([11, 0]);
  });

  it('closes the circuit on trial: the next message’s failure opens it for longer, its success for good', async () => {
    const { stub, guard, send } = await downStub();
    stub.onVerify = () => Promise.resolve();
    stub.onSend = () => Promise.reject(trouble({ phase: 'mail' }));
    for (const openings of [2, 3]) {
      await vi.advanceTimersByTimeAsync(2 ** (openings - 2) * 1_000);
      expect(guard.standing.circuit.state).toBe('closed');
      await failure(send());
      expect(guard.standing.circuit).toMatchObject({ state: 'open', openings });
    }
    await vi.advanceTimersByTimeAsync(4_000);
    stub.onSend = () => Promise.resolve();
    await send();
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 0 });
    stub.onSend = () => Promise.reject(trouble());
    await failure(send());
    expect(guard.standing.circuit.state).toBe('closed');
  });

  it('is given up after 15 s, which is a failure', async () => {
    const { stub, guard } = await downStub();
    stub.onVerify = (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(trouble({ reply: (signal.reason as Error).message }))),
      );
    await vi.advanceTimersByTimeAsync(1_000);
    expect(guard.standing.circuit.state).toBe('half-open');
    await vi.advanceTimersByTimeAsync(15_000);
    expect(guard.standing.circuit).toMatchObject({
      state: 'open',
      openings: 2,
      reason: 'main at connect: No answer within 15000 ms',
    });
  });

  it('goes on after a probe that learnt nothing', async () => {
    const { stub, guard, send } = await downStub();
    stub.onSend = () => Promise.reject(notAsked('main', 'No connection was ready within 5 ms'));
    stub.onVerify = () => Promise.resolve();
    await failure(send());
    await vi.advanceTimersByTimeAsync(1_999);
    expect(stub.checks).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(stub.checks).toBe(1);
    expect(guard.standing.circuit.state).toBe('closed');
  });

  it('is not made when a message that had begun before succeeds', async () => {
    const { stub, guard, send, told } = guardedStub();
    const gate = new Gate();
    stub.onSend = () => gate.pass();
    const early = send('bulk');
    stub.onSend = () => Promise.reject(trouble());
    for (let count = 0; count < 3; count++) await failure(send());
    expect(guard.standing.circuit.state).toBe('open');
    await vi.advanceTimersByTimeAsync(400);
    gate.open();
    await early;
    expect(told[1]).toMatchObject({ 'transport-up': { downFor: 400 } });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(stub.checks).toBe(0);
  });

  it('lets a priority mail wait for it', async () => {
    const { stub, send } = await downStub();
    const gate = new Gate();
    stub.onVerify = () => gate.pass();
    stub.onSend = () => Promise.resolve();
    await vi.advanceTimersByTimeAsync(1_000);
    const sending = send();
    await vi.advanceTimersByTimeAsync(100);
    expect(stub.sends).toBe(0);
    gate.open();
    await sending;
    expect(stub.checks).toBe(1);
  });

  it('ends with close(), which leaves no timer behind', async () => {
    const { stub, guard } = await downStub();
    const waiting = await downStub();
    let signal: AbortSignal | undefined;
    stub.onVerify = (given) => ((signal = given), new Promise(() => undefined));
    await waiting.guard.close(0);
    await vi.advanceTimersByTimeAsync(1_000);
    await guard.close(0);
    expect(signal?.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(waiting.stub.checks).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
