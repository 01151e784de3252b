import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RateLimit } from '../../src/transport/rate-limit.js';
import type { TransportErrorOptions } from '../../src/transport/transport.js';
import { failure } from './smtp.js';
import { guardedStub, NOW, trouble } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

const TOO_MANY = { phase: 'mail', replyCode: 421, reply: '421 4.7.0 Slow down' } as const;
const INSUFFICIENT = {
  phase: 'rcpt',
  kind: 'busy',
  scope: 'recipient',
  replyCode: 452,
  reply: '452 4.3.1 Full',
} as const;

async function refusedOnce(options: Partial<TransportErrorOptions>, lane: 'priority' | 'bulk' = 'bulk') {
  const guarded = guardedStub();
  guarded.stub.onSend = () => Promise.reject(trouble(options));
  await failure(guarded.send(lane));
  return guarded;
}

describe('the window of a guarded transport', () => {
  it('is as large as the bulk messages it takes', () => {
    expect(guardedStub().guard.standing.window).toEqual({ size: 5, max: 5, inFlight: 0 });
  });

  it('learns from bulk mail that was refused, which never opens the circuit', async () => {
    const { guard, send } = await refusedOnce(TOO_MANY);
    expect(guard.standing.window).toMatchObject({
      reason: '421 4.7.0 Slow down',
      pausedUntil: expect.any(Date) as Date,
    });
    for (let count = 0; count < 10; count++) await failure(send('bulk'));
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 0 });
  });

  it('learns that a server is busy from what it says of a recipient, too', async () => {
    const { guard, send } = await refusedOnce(INSUFFICIENT);
    for (let count = 0; count < 8; count++) await failure(send('bulk'));
    expect(guard.standing.window).toMatchObject({ reason: '452 4.3.1 Full', pausedUntil: expect.any(Date) as Date });
  });

  it.each<[string, Partial<TransportErrorOptions>]>([
    ['a recipient', { phase: 'rcpt', replyCode: 550, scope: 'recipient', permanent: true, reply: '550 5.1.1 Nobody' }],
    ['a mailbox for now', { phase: 'rcpt', replyCode: 450, scope: 'recipient', reply: '450 4.2.1 Later' }],
    ['a connection', {}],
  ])('learns nothing from the refusal of %s', async (_, options) => {
    const { guard } = await refusedOnce(options);
    expect(guard.standing.window).toEqual({ size: 5, max: 5, inFlight: 0 });
  });

  it('puts up with a sender that is not allowed, and not with an address that is blocked', async () => {
    const { guard, stub, send } = guardedStub();
    const unverified = trouble({ phase: 'mail', kind: 'down', answered: true, reply: 'Not verified' });
    let sends = 0;
    stub.onSend = () => (sends++ % 10 > 0 ? Promise.reject(unverified) : Promise.resolve());
    for (let count = 0; count < 50; count++) await send('bulk').catch(() => undefined);
    expect(guard.standing.window).toEqual({ size: 5, max: 5, inFlight: 0 });
    stub.onSend = () => Promise.reject(trouble({ phase: 'rcpt', replyCode: 554, kind: 'down', reply: '554 Blocked' }));
    // Nine were not verified right before.
    for (let count = 9; count < 19; count++) await failure(send('bulk'));
    expect(guard.standing.window).toEqual({ size: 5, max: 5, inFlight: 0 });
    for (let count = 19; count < 39; count++) await failure(send('bulk'));
    const { reason, pausedUntil, size } = guard.standing.window;
    expect({ reason, size }).toEqual({ reason: '554 Blocked', size: 1 });
    // However often that is said.
    expect(pausedUntil!.getTime() - Date.now()).toBeLessThanOrEqual(1_250);
    stub.onSend = () => Promise.resolve();
    await send('bulk');
    expect(guard.standing.window).toMatchObject({ size: 5 });
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 0 });
  });

  it('neither knows of the priority lane nor holds it', async () => {
    const { guard, stub, send } = await refusedOnce(TOO_MANY, 'priority');
    expect(guard.standing.window).toEqual({ size: 5, max: 5, inFlight: 0 });
    stub.onSend = () => Promise.reject(trouble(TOO_MANY));
    await failure(send('bulk'));
    const { window } = guard.standing;
    stub.onSend = () => Promise.resolve();
    await send('priority');
    expect(guard.standing.window).toEqual(window);
    expect(guard.bulkAcceptedAt).toBe(0);
    await send('bulk');
    expect(guard.bulkAcceptedAt).toBe(NOW);
    expect(guard.standing.window).not.toHaveProperty('pausedUntil');
  });

  it('takes what has waited for the rate limit since before a refusal for part of its burst', async () => {
    const { guard, stub, send } = guardedStub(new RateLimit('main', { messages: 1, per: 1_000, reserve: 0 }));
    stub.onSend = () => Promise.reject(trouble(TOO_MANY));
    const both = [failure(send('bulk')), failure(send('bulk'))];
    await vi.advanceTimersByTimeAsync(1_100);
    await Promise.all(both);
    const { pausedUntil } = guard.standing.window;
    expect((pausedUntil?.getTime() ?? Date.now()) - NOW).toBeLessThanOrEqual(1_250);
  });
});
