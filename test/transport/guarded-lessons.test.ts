import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RateLimit } from '../../src/transport/rate-limit.js';
import { failure } from './smtp.js';
import { downStub, guardedStub, NOW, trouble } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A guard whose transport is silent until the message's time is up. */
function silentStub() {
  const silent = guardedStub();
  silent.stub.onSend = ({ signal, handoverWithin }) =>
    new Promise((_, reject) => {
      const giveUp = () => reject(trouble({ phase: 'mail', reply: 'The server did not answer' }));
      if (handoverWithin !== undefined) setTimeout(giveUp, handoverWithin);
      signal.addEventListener('abort', giveUp);
    });
  return silent;
}

describe('an attempt that was given up', () => {
  it.each(['by its time', 'by its signal'])(
    'within a second (%s) is no failure, but is followed by a check',
    async (how) => {
      const { stub, guard, send } = silentStub();
      const gone = new AbortController();
      const options = how === 'by its time' ? { handoverWithin: 900 } : { signal: gone.signal };
      const sending = failure(send('priority', options));
      await vi.advanceTimersByTimeAsync(900);
      gone.abort(new Error('Time is up'));
      await sending;
      expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 0 });
      await vi.advanceTimersByTimeAsync(1_000);
      expect(stub.checks).toBe(1);
    },
  );

  it('after more than a second is a failure', async () => {
    const { guard, send } = silentStub();
    const sending = failure(send('priority', { handoverWithin: 1_100 }));
    await vi.advanceTimersByTimeAsync(1_100);
    await sending;
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 1 });
  });

  it('though the server has answered is what the answer says', async () => {
    const { stub, guard, send } = guardedStub();
    stub.onSend = () => Promise.reject(trouble({ phase: 'greeting', replyCode: 554 }));
    await failure(send('priority', { signal: AbortSignal.abort(new Error('Time is up')) }));
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 1 });
  });
});

describe('verify()', () => {
  const { signal } = new AbortController();

  it('that fails counts as a failure, and is followed by a check', async () => {
    const { stub, guard } = guardedStub();
    stub.onVerify = () => Promise.reject(trouble({ phase: 'auth', replyCode: 535 }));
    await failure(guard.verify(signal));
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 1 });
    expect(guard.loginRefused).toBe(true);
    stub.onVerify = () => Promise.resolve();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stub.checks).toBe(2);
    expect(guard.loginRefused).toBe(false);
  });

  it('that was given up counts as nothing', async () => {
    const { stub, guard } = guardedStub();
    stub.onVerify = () => Promise.reject(trouble({ reply: 'Time is up' }));
    await failure(guard.verify(AbortSignal.abort(new Error('Time is up'))));
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that passes brings an open circuit back', async () => {
    const { stub, guard, told } = await downStub();
    stub.onVerify = () => Promise.resolve();
    await guard.verify(signal);
    expect(guard.standing.circuit.state).toBe('closed');
    expect(told.at(-1)).toHaveProperty('transport-up');
  });
});

describe('bulk mail while the circuit is open', () => {
  it('does not wait for the rate limit first', async () => {
    const { send } = await downStub(new RateLimit('main', { messages: 3, per: 5_000, reserve: 0 }));
    expect(await failure(send('bulk'))).toMatchObject({ phase: 'queue', retryAt: NOW + 1_000 });
  });

  it('that waited for the rate limit meanwhile is refused, and probes nothing', async () => {
    const { stub, guard, send } = guardedStub(new RateLimit('main', { messages: 1, per: 1_000, reserve: 0 }));
    await send('bulk');
    const waiting = failure(send('bulk'));
    stub.onVerify = () => Promise.reject(trouble());
    for (let count = 0; count < 3; count++) await failure(guard.verify(new AbortController().signal));
    expect(guard.standing.circuit.state).toBe('open');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await waiting).toMatchObject({ phase: 'queue', outcome: 'not-sent' });
    expect(stub.sends).toBe(1);
  });
});

it('close() does not fail, whatever the transport does', async () => {
  const { stub, guard } = guardedStub();
  vi.spyOn(stub, 'close').mockRejectedValue(new Error('It is stuck'));
  await guard.close(0);
});
