import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LedgerView, type Fact } from '../../src/delivery/ledger.js';

const sent = (slot: string, at: number): Fact => ({ slot, at, kind: 'sent', transport: 'main', reply: '250 ok' });
const failed = (slot: string, at: number): Fact => ({ slot, at, kind: 'failed', reply: '550 no' });
const deferred = (slot: string, at: number): Fact => ({
  slot,
  at,
  kind: 'deferred',
  until: at + 10,
  reply: '450 later',
});

const reopened = (slot: string, at: number): Fact => ({ slot, at, kind: 'reopened' });
const begun = (slot: string, at: number, deaths: number): Fact => ({ slot, at, kind: 'begun', deaths });

describe('the union of the facts about a batch', () => {
  it('does not depend on the order in which they are read', () => {
    const fact = fc
      .record({
        slot: fc.constantFrom('0', '1', '2.0'),
        at: fc.integer({ min: 1, max: 50 }),
        make: fc.constantFrom(sent, failed, deferred, reopened),
      })
      .map(({ slot, at, make }) => make(slot, at));
    fc.assert(
      fc.property(
        fc.array(fact, { maxLength: 12 }),
        fc.array(fc.nat(), { minLength: 12, maxLength: 12 }),
        (facts, keys) => {
          const shuffled = facts.map((value, index) => ({ value, key: keys[index]! })).sort((a, b) => a.key - b.key);
          const one = new LedgerView(facts);
          const other = new LedgerView(shuffled.map(({ value }) => value));
          expect(other.count()).toEqual(one.count());
          for (const slot of ['0', '1', '2.0']) expect(other.get(slot)).toEqual(one.get(slot));
        },
      ),
    );
  });

  it('takes what was accepted for accepted, whatever another worker recorded', () => {
    const view = new LedgerView([failed('0', 5), sent('0', 3), deferred('0', 9)]);
    expect(view.get('0')).toMatchObject({ fact: { kind: 'sent' } });
    expect(view.isSettled('0')).toBe(true);
  });

  it('leaves the deferred pending and counts its attempts', () => {
    const view = new LedgerView([deferred('0', 1), deferred('0', 2)]);
    expect(view.isSettled('0')).toBe(false);
    expect(view.get('0')).toMatchObject({ attempts: 2, paused: 20, fact: { at: 2 } });
  });

  it('counts the transports’ troubles since anything was accepted', () => {
    const trouble = (at: number): Fact => ({ slot: '', at, kind: 'trouble', reply: 'refused' });
    expect(new LedgerView([trouble(1), sent('0', 2), trouble(3), trouble(4)]).troublesInARow()).toBe(2);
    expect(new LedgerView([trouble(1), sent('0', 2), trouble(3), trouble(4)]).troublesInARow(3)).toBe(1);
    expect(new LedgerView([trouble(1)]).count()).toMatchObject({ sent: 0, failed: 0 });
  });

  it('counts what was put off by a busy transport apart from its attempts', () => {
    const view = new LedgerView([deferred('0', 1), { ...deferred('0', 2), yielded: true } as Fact]);
    expect(view.get('0')).toMatchObject({ attempts: 1, yields: 1, paused: 20 });
  });

  it('knows since when there is trouble, apart from what was before', () => {
    const trouble = (at: number): Fact => ({ slot: '', at, kind: 'trouble', reply: 'refused' });
    const view = new LedgerView([trouble(1), sent('0', 2), trouble(3), trouble(6)]);
    expect(view.troubledSince()).toBe(3);
    expect(view.troubledSince(5)).toBe(6);
    expect(view.troubledSince(6)).toBeUndefined();
    expect(view.acceptedAt).toBe(2);
  });

  it('takes what was reopened for never tried, and nothing else', () => {
    const view = new LedgerView([reopened('0', 9), deferred('0', 1), failed('0', 5), sent('1', 2), reopened('1', 9)]);
    expect(view.get('0')).toBeUndefined();
    expect(view.count()).toMatchObject({ failed: 0, deferred: 0, sent: 1 });
    expect(view.isSettled('1')).toBe(true);
    expect(view.reopenings).toBe(2);
    view.add(failed('0', 12));
    expect(view.get('0')).toMatchObject({ attempts: 1, fact: { kind: 'failed', at: 12 } });
  });

  it('takes what failed again for failed, whosever clock is ahead', () => {
    // Reopened as of the time of the failure, so that the next one is later by the clock of the workers alone.
    const facts = [failed('0', 5), reopened('0', 5), failed('0', 6)];
    expect(new LedgerView(facts).get('0')).toMatchObject({ attempts: 1, fact: { kind: 'failed', at: 6 } });
    expect(new LedgerView([...facts].reverse()).count()).toMatchObject({ failed: 1 });
  });

  it('tells at how many deaths a message was the one being tried', () => {
    const marks = [begun('0', 1, 3), begun('1', 2, 3), begun('0', 5, 4), begun('1', 6, 4), begun('1', 8, 5)];
    expect(new LedgerView(marks).deathsAt('1', 6)).toBe(3);
    expect(new LedgerView(marks).deathsAt('1', 5)).toBe(2);
    expect(new LedgerView(marks).deathsAt('0', 6)).toBe(0);
    // It was answered after that.
    expect(new LedgerView([...marks, deferred('1', 7)]).deathsAt('1', 6)).toBe(1);
    // The worker ended its run alive.
    expect(new LedgerView([...marks, begun('', 8, 5)]).deathsAt('1', 6)).toBe(2);
    expect(new LedgerView([...marks, failed('1', 9), reopened('1', 9)]).deathsAt('1', 6)).toBe(0);
  });
});
