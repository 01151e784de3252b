import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ServerLoad } from '../../src/transport/probe.js';
import { notAsked } from '../../src/transport/transport.js';
import { openProbe, type Admit, type ProbeSettings } from '../../src/transport/probes/open.js';

const NOW = new Date('2026-01-15T09:30:00Z');

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

type Answer = number | Error | 'never';

/** A probe of a server that answers a NOOP after so many milliseconds, one after the other; then it goes on with the last. */
function probeOf(answers: Answer[], settings: Partial<ProbeSettings> = {}, replyTime?: number) {
  const asked: number[] = [];
  let underWay = 0;
  const transport = {
    replyTime,
    async ping(signal: AbortSignal): Promise<number> {
      asked.push(Date.now() - NOW.getTime());
      expect(++underWay).toBe(1);
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      try {
        if (answer instanceof Error) throw answer;
        if (answer !== 'never') return answer;
        return await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      } finally {
        underWay--;
      }
    },
  };
  const common = { every: 5_000, timeout: 4_000, onProbeFailure: 'wait', limits: { maxLatency: 3_000 } } as const;
  const probe = openProbe({ type: 'smtp', ...common, ...settings } as ProbeSettings, transport);
  const admitted: boolean[] = [];
  const started = probe.start(() => admitted.push(probe.admits));
  return { probe, transport, asked, admitted, started };
}

const refused = () => new Error('connect ECONNREFUSED');

describe('a probe', () => {
  it('asks at once, and again some time after the answer', async () => {
    const { probe, asked } = probeOf([10, 'never', 10]);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([0]);
    expect(probe.load).toEqual({ state: 'ready', at: NOW, latency: 10 });
    await vi.advanceTimersByTimeAsync(14_000);
    expect(asked).toEqual([0, 5_000, 14_000]);
  });

  it('takes a server for ready that nobody could ask because other processes have its connections', async () => {
    const { probe } = probeOf([notAsked('main', 'all connections of maxTotalConnections are in use')]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(probe.load.state).toBe('ready');
    expect(probe.admits).toBe(true);
  });

  it('is unknown and admits nothing until the first answer, which is waited for', async () => {
    const { probe, started, admitted } = probeOf(['never', 10]);
    expect(probe.load).toEqual({ state: 'unknown' });
    expect(probe.admits).toBe(false);
    await vi.advanceTimersByTimeAsync(4_000);
    await started;
    expect(probe.load).toEqual({
      state: 'unreachable',
      reason: 'No answer within 4000 ms',
      at: new Date(NOW.getTime() + 4_000),
    });
    expect(admitted).toEqual([]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(admitted).toEqual([true]);
  });

  it('tells when it has changed its mind, and only then', async () => {
    const { probe, admitted } = probeOf([10, 10, 3_500, 2_500, 2_000, 10]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(admitted).toEqual([true, false]);
    expect(probe.load).toMatchObject({ state: 'overloaded', reason: 'latency 3500 ms, above 3000', latency: 3_500 });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.load).toMatchObject({ state: 'overloaded', reason: 'latency 2500 ms, not yet back to 2400' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(admitted).toEqual([true, false, true]);
  });

  it('judges by the replies to messages where they take longer than a NOOP', async () => {
    const { probe, transport } = probeOf([10], {}, 3_500);
    await vi.advanceTimersByTimeAsync(0);
    expect(probe.load).toMatchObject({ state: 'overloaded', latency: 3_500 });
    transport.replyTime = undefined;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.load).toMatchObject({ state: 'ready', latency: 10 });
  });

  it('does not mind one lost answer, but two in a row', async () => {
    const { probe, admitted } = probeOf([10, refused(), 10, refused(), refused(), 10]);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(probe.load).toMatchObject({ state: 'ready', at: new Date(NOW.getTime() + 10_000) });
    expect(admitted).toEqual([true]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.load).toEqual({
      state: 'unreachable',
      reason: 'connect ECONNREFUSED',
      at: new Date(NOW.getTime() + 20_000),
    });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(admitted).toEqual([true, false, true]);
  });

  it('of an overloaded server stays so over one lost answer', async () => {
    const { probe } = probeOf([3_500, refused(), 10]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.load).toMatchObject({ state: 'overloaded' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.load).toMatchObject({ state: 'ready' });
  });

  it("with onProbeFailure: 'send' lets mail through unless it knows better", async () => {
    const { probe, admitted } = probeOf([refused(), 3_500, refused(), refused()], { onProbeFailure: 'send' });
    expect(probe.admits).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(probe.load).toMatchObject({ state: 'unreachable' });
    expect(probe.admits).toBe(true);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.admits).toBe(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(admitted).toEqual([false, true]);
  });

  it('asks no more when it has been stopped, also in the middle of a question', async () => {
    const first = probeOf([10]);
    await vi.advanceTimersByTimeAsync(0);
    first.probe.stop();
    const second = probeOf(['never']);
    second.probe.stop();
    await second.started;
    await vi.advanceTimersByTimeAsync(60_000);
    expect([first.asked, second.asked]).toEqual([[0], [0]]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('admit', () => {
  it('decides in place of the limits, knowing the state before', async () => {
    const seen: ServerLoad[] = [];
    const admit: Admit = (state) => {
      seen.push(state);
      return state.latency! < (state.state === 'overloaded' ? 50 : 100);
    };
    const { probe, admitted } = probeOf([10, 200, 60, 40], { admit });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe.load).toMatchObject({ state: 'overloaded', reason: 'admit said no', latency: 200 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(admitted).toEqual([true, false, true]);
    expect(seen.map(({ state, latency }) => [state, latency])).toEqual([
      ['unknown', 10],
      ['ready', 200],
      ['overloaded', 60],
      ['overloaded', 40],
    ]);
  });

  it('may take its time, and admits more than the limits do', async () => {
    const { probe } = probeOf([3_500], { admit: () => Promise.resolve(true) });
    await vi.advanceTimersByTimeAsync(0);
    expect(probe.load).toMatchObject({ state: 'ready', latency: 3_500 });
  });

  it.each<[string, () => unknown, string]>([
    ['throws', () => Promise.reject(new Error('no such table')), 'admit failed: no such table'],
    ['says neither yes nor no', () => undefined, 'admit returned neither true nor false'],
    ['does not come back', () => new Promise(() => undefined), 'No answer within 4000 ms'],
  ])('that %s is a probe that failed', async (_, admit, reason) => {
    const { probe, started } = probeOf([10], { admit: admit as Admit });
    await vi.advanceTimersByTimeAsync(4_000);
    await started;
    expect(probe.load).toMatchObject({ state: 'unreachable', reason });
  });
});
