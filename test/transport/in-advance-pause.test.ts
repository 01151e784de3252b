import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InAdvance } from '../../src/transport/smtp/in-advance.js';
import { TransportError } from '../../src/transport/transport.js';

const refusal = (replyCode: number | undefined, reply = 'no'): TransportError =>
  new TransportError('main', {
    phase: 'mail',
    outcome: 'not-sent',
    permanent: false,
    scope: 'transport',
    reply,
    ...(replyCode === undefined ? {} : { replyCode }),
  });

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

describe('beginning in advance', () => {
  it('pauses for ten minutes after a server that took it for a fault', () => {
    const inAdvance = new InAdvance(true);
    expect(inAdvance.failed(refusal(503), false)).toBe(true);
    expect(inAdvance.allowed).toBe(false);
    vi.advanceTimersByTime(10 * 60_000);
    expect(inAdvance.allowed).toBe(true);
  });

  it('pauses when three in a row were cut off, and not when one between them was taken', () => {
    const inAdvance = new InAdvance(true);
    for (let round = 0; round < 4; round++) {
      expect(inAdvance.failed(refusal(undefined), true)).toBe(false);
      inAdvance.failed(refusal(undefined), true);
      inAdvance.worked();
    }
    expect(inAdvance.allowed).toBe(true);
    for (let cut = 0; cut < 3; cut++) inAdvance.failed(refusal(undefined), true);
    expect(inAdvance.allowed).toBe(false);
  });

  it('is never allowed where it was not wanted, and no reason to stop is what has another one', () => {
    expect(new InAdvance(false).allowed).toBe(false);
    const inAdvance = new InAdvance(true);
    for (let n = 0; n < 5; n++) expect(inAdvance.failed(refusal(450), false)).toBe(false);
    expect(inAdvance.failed(refusal(554, '554 5.7.1 Spam'), false)).toBe(false);
    expect(inAdvance.allowed).toBe(true);
  });
});
