import { afterEach, describe, expect, it, vi } from 'vitest';
import { failure, mail, send } from './smtp.js';
import { startedScript } from './started.js';

afterEach(() => {
  vi.useRealTimers();
});

describe('the round trip', () => {
  it.each([
    ['is that of the pipelined commands', ['PIPELINING'], 40],
    ['is that of each command, where the server takes no PIPELINING', [], 10],
  ])('%s', async (_, capabilities, expected) => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const answered = () => void vi.advanceTimersByTime(10);
    const script = { capabilities, noop: () => void vi.advanceTimersByTime(7) };
    const steps = { mail: answered, rcpt: answered, data: answered, message: () => void vi.advanceTimersByTime(500) };
    const { transport, roundTrips } = await startedScript({ ...script, ...steps });
    await send(transport, mail('1', ['ann@mail.test', 'bob@mail.test']));
    expect(roundTrips).toEqual([7, expected]);
  });

  it('of a message that was refused is not told', async () => {
    const { transport, roundTrips } = await startedScript({ rcpt: () => '550 5.1.1 Unknown' });
    await failure(send(transport));
    expect(roundTrips).toHaveLength(1);
  });
});
