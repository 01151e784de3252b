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

describe('the union of the facts about a batch', () => {
  it('does not depend on the order in which they are read', () => {
    const fact = fc
      .record({
        slot: fc.constantFrom('0', '1', '2.0'),
        at: fc.integer({ min: 1, max: 50 }),
        make: fc.constantFrom(sent, failed, deferred),
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
    expect(view.get('0')).toMatchObject({ fact: { kind: 'sent' }, firstAt: 3 });
    expect(view.isSettled('0')).toBe(true);
  });

  it('leaves the deferred pending and counts its attempts', () => {
    const view = new LedgerView([deferred('0', 1), deferred('0', 2)]);
    expect(view.isSettled('0')).toBe(false);
    expect(view.get('0')).toMatchObject({ attempts: 2, firstAt: 1, fact: { at: 2 } });
  });

  it('counts the transports’ troubles since anything was accepted', () => {
    const trouble = (at: number): Fact => ({ slot: '', at, kind: 'trouble', reply: 'refused' });
    expect(new LedgerView([trouble(1), sent('0', 2), trouble(3), trouble(4)]).troublesInARow).toBe(2);
    expect(new LedgerView([trouble(1)]).count()).toMatchObject({ sent: 0, failed: 0 });
  });
});
