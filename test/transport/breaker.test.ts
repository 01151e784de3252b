import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BREAKER, CircuitBreaker } from '../../src/transport/breaker.js';

const NOW = Date.UTC(2026, 0, 1);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A breaker with what it has told, and the state that whoever was told found it in. */
function breakerOf(settings = { threshold: 3, firstPause: 1_000, maxPause: 6_000 }) {
  const changes: [change: 'down' | 'up', state: string][] = [];
  const breaker = new CircuitBreaker(settings, (change) => changes.push([change, breaker.circuit.state]));
  const fail = (times: number, reason = 'Refused'): void => {
    for (let count = 0; count < times; count++) breaker.failed(reason);
  };
  return { breaker, changes, fail };
}

describe('a closed circuit', () => {
  it('counts failures and opens at the threshold', () => {
    const { breaker, changes, fail } = breakerOf();
    expect(breaker.circuit).toEqual({ state: 'closed', failures: 0 });
    fail(2);
    expect(breaker.circuit).toEqual({ state: 'closed', failures: 2 });
    expect(changes).toEqual([]);
    vi.setSystemTime(NOW + 500);
    fail(1, 'Refused again');
    expect(breaker.circuit).toEqual({
      state: 'open',
      since: NOW + 500,
      until: NOW + 1_500,
      openings: 1,
      reason: 'Refused again',
    });
    expect(changes).toEqual([['down', 'open']]);
  });

  it('counts only failures in a row', () => {
    const { breaker, changes, fail } = breakerOf();
    for (let round = 0; round < 5; round++) {
      fail(2);
      breaker.succeeded();
      expect(breaker.circuit).toEqual({ state: 'closed', failures: 0 });
    }
    expect(changes).toEqual([]);
    fail(3);
    expect(breaker.circuit.state).toBe('open');
  });

  it('has nothing to probe', () => {
    const { breaker, fail } = breakerOf();
    fail(2);
    expect(breaker.probe()).toBe(false);
    expect(breaker.circuit).toEqual({ state: 'closed', failures: 2 });
  });

  it('opens at the first failure where the threshold says so', () => {
    const { breaker, fail } = breakerOf({ threshold: 1, firstPause: 10, maxPause: 10 });
    fail(1);
    expect(breaker.circuit).toMatchObject({ state: 'open', until: NOW + 10 });
  });
});

describe('an open circuit', () => {
  it('lets one probe through and no other', () => {
    const { breaker, fail } = breakerOf();
    fail(3);
    vi.setSystemTime(NOW + 1_000);
    expect(breaker.probe()).toBe(true);
    expect(breaker.circuit).toEqual({ state: 'half-open', since: NOW, openings: 1, reason: 'Refused' });
    expect(breaker.probe()).toBe(false);
    expect(breaker.probe()).toBe(false);
  });

  it('is not prolonged by the failures of what had begun before', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(3);
    const { circuit } = breaker;
    vi.setSystemTime(NOW + 900);
    fail(5, 'Late');
    expect(breaker.circuit).toEqual(circuit);
    expect(changes).toEqual([['down', 'open']]);
  });

  it('closes when something that had begun before succeeds', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(3);
    breaker.succeeded();
    expect(breaker.circuit).toEqual({ state: 'closed', failures: 0 });
    expect(changes).toEqual([
      ['down', 'open'],
      ['up', 'closed'],
    ]);
  });
});

describe('a half-open circuit', () => {
  it('closes when the probe succeeds', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(3);
    breaker.probe();
    breaker.succeeded();
    expect(breaker.circuit).toEqual({ state: 'closed', failures: 0 });
    expect(changes).toEqual([
      ['down', 'open'],
      ['up', 'closed'],
    ]);
    // Success after success tells nobody anything.
    breaker.succeeded();
    expect(changes).toHaveLength(2);
  });

  it('opens again for twice as long with each probe that fails, up to the maximum', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(3, 'First');
    const pauses: number[] = [];
    for (let probe = 2; probe <= 6; probe++) {
      vi.setSystemTime(Date.now() + 7_000);
      expect(breaker.probe()).toBe(true);
      breaker.failed(`Probe ${probe}`);
      const { circuit } = breaker;
      if (circuit.state !== 'open') throw new Error(circuit.state);
      pauses.push(circuit.until - Date.now());
      // It is one outage: it began with the first opening, and is told of once.
      expect(circuit).toMatchObject({ since: NOW, openings: probe, reason: `Probe ${probe}` });
    }
    expect(pauses).toEqual([2_000, 4_000, 6_000, 6_000, 6_000]);
    expect(changes).toEqual([['down', 'open']]);
  });

  it('never pauses longer than the maximum, however long the outage', () => {
    const { breaker, fail } = breakerOf(BREAKER);
    fail(3);
    for (let probe = 0; probe < 2_000; probe++) {
      breaker.probe();
      breaker.failed('Still away');
    }
    expect(breaker.circuit).toMatchObject({ state: 'open', until: NOW + 60_000, openings: 2_001 });
  });

  it('closes on trial when a check has passed: the next failure opens it again, for longer', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(3);
    for (const [openings, pause] of [
      [2, 2_000],
      [3, 4_000],
      [4, 6_000],
    ]) {
      breaker.probe();
      breaker.passed();
      expect(breaker.circuit).toEqual({ state: 'closed', failures: 2 });
      fail(1);
      expect(breaker.circuit).toMatchObject({ state: 'open', openings, until: NOW + pause! });
    }
    expect(changes.map(([change]) => change)).toEqual(['down', 'up', 'down', 'up', 'down', 'up', 'down']);
    // Until something has succeeded.
    breaker.probe();
    breaker.passed();
    breaker.succeeded();
    fail(3);
    expect(breaker.circuit).toMatchObject({ openings: 1, until: NOW + 1_000 });
  });

  it('makes nothing of a passed check while it is closed, for messages have failed that checks do not make', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(1);
    breaker.passed();
    expect(breaker.circuit).toEqual({ state: 'closed', failures: 1 });
    expect(changes).toEqual([]);
  });

  it('begins the next outage with the first pause', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(3);
    for (let probe = 0; probe < 3; probe++) {
      breaker.probe();
      breaker.failed('Refused');
    }
    breaker.probe();
    breaker.succeeded();
    vi.setSystemTime(NOW + 60_000);
    fail(2);
    expect(breaker.circuit.state).toBe('closed');
    fail(1);
    expect(breaker.circuit).toMatchObject({ since: NOW + 60_000, until: NOW + 61_000, openings: 1 });
    expect(changes.map(([change]) => change)).toEqual(['down', 'up', 'down']);
  });
});
