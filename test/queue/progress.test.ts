import { expect, it } from 'vitest';
import { LedgerView, type Fact } from '../../src/delivery/ledger.js';
import type { Batch } from '../../src/queue/batch.js';
import { progressField, readProgress } from '../../src/queue/progress.js';

const batch = (number: number): Batch => ({ id: `c-${number}`, campaign: { id: 'c', number } }) as Batch;
const sent = (slot: number, at: number): Fact => ({
  slot: String(slot),
  at,
  kind: 'sent',
  transport: 'main',
  reply: 'ok',
});

it('sums the batches of a campaign', () => {
  const one = new LedgerView([sent(0, 5), sent(1, 7)]);
  const two = new LedgerView([sent(0, 6), { slot: '1', at: 6, kind: 'failed', reply: 'no' }]);
  const fields = { ...progressField(batch(0), one, 'w'), ...progressField(batch(1), two, 'w') };
  expect(readProgress(fields)).toEqual({
    sent: 3,
    failed: 1,
    deferred: 0,
    cancelled: 0,
    suppressed: 0,
    expired: 0,
    at: 7,
    acceptedAt: 7,
    reopenings: 0,
  });
});

it('is not rewound by a worker that comes back late and knows less', () => {
  const all = new LedgerView(Array.from({ length: 10 }, (_, slot) => sent(slot, 100)));
  const late = new LedgerView([sent(3, 200)]);
  const fields = { ...progressField(batch(0), all, 'second'), ...progressField(batch(0), late, 'first') };
  expect(readProgress(fields)).toMatchObject({ sent: 10 });
});

it('follows what was deferred and then sent', () => {
  const deferred = new LedgerView([{ slot: '0', at: 1, kind: 'deferred', until: 2, reply: 'later' }]);
  const then = new LedgerView([{ slot: '0', at: 1, kind: 'deferred', until: 2, reply: 'later' }, sent(0, 3)]);
  const fields = { ...progressField(batch(0), deferred, 'one'), ...progressField(batch(0), then, 'two') };
  expect(readProgress(fields)).toMatchObject({ sent: 1, deferred: 0 });
});

it('believes who knows that something was reopened, though less is settled since', () => {
  const before = new LedgerView([sent(0, 1), { slot: '1', at: 2, kind: 'failed', reply: 'no' }]);
  const since = new LedgerView([sent(0, 1), { slot: '1', at: 2, kind: 'failed', reply: 'no' }]);
  since.add({ slot: '1', at: 3, kind: 'reopened' });
  const fields = { ...progressField(batch(0), before, 'worker'), ...progressField(batch(0), since, 'control') };
  expect(readProgress(fields)).toMatchObject({ sent: 1, failed: 0 });
});
