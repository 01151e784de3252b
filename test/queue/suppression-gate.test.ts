import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LedgerView } from '../../src/delivery/ledger.js';
import { RecordedSuppressions, SUPPRESSION_MARKER } from '../../src/feedback/recorded-suppressions.js';
import type { SuppressedMail, Suppression, SuppressionList } from '../../src/feedback/suppression.js';
import type { Batch } from '../../src/queue/batch.js';
import { SuppressionGate } from '../../src/queue/suppression-gate.js';
import type { Fields } from '../../src/store/records.js';
import { UNSEALED } from '../../src/store/sealing.js';
import { MemoryRecords } from '../../src/testing/memory-records.js';

const to = ['ann@mail.test', 'bob@mail.test', 'cid@mail.test'];
const batch = {
  id: 'c-0',
  urgency: 'low',
  shared: { cc: [], bcc: [], list: 'news' },
  items: to.map((address) => ({ to: address })),
} as unknown as Batch;
const view = new LedgerView([{ slot: '1', at: 1, kind: 'sent', transport: 'main', reply: 'ok' }]);

let records: MemoryRecords;
let recorded: RecordedSuppressions;
const marker = async (): Promise<Fields | undefined> => (await records.get([SUPPRESSION_MARKER]))[0];
const suppress = (address: string): Promise<void> =>
  recorded.add([{ address, scope: 'bulk', reason: 'unsubscribed', since: new Date() }]);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  records = new MemoryRecords();
  recorded = new RecordedSuppressions(records, UNSEALED);
});
afterEach(() => {
  vi.useRealTimers();
});

it('asks nothing where nothing is suppressed, and again only when something has changed', async () => {
  const get = vi.spyOn(records, 'get');
  const gate = new SuppressionGate(recorded, { priority: 'ignore' });
  expect(gate.markers).toEqual([SUPPRESSION_MARKER]);
  const suppressions = await gate.open(batch, view, undefined);
  expect(get).not.toHaveBeenCalled();

  await suppress('ann@mail.test');
  await suppressions.refresh(await marker());
  await suppressions.refresh(await marker());
  expect(get.mock.calls.filter(([keys]) => keys[0] !== SUPPRESSION_MARKER)).toEqual([
    [['suppressed/ann@mail.test', 'suppressed/cid@mail.test']],
  ]);
  expect(to.map((address) => suppressions.of(address)?.reason)).toEqual(['unsubscribed', undefined, undefined]);

  await recorded.remove('ann@mail.test', { reason: 'unsubscribed' });
  await suppressions.refresh(await marker());
  expect(suppressions.of('ann@mail.test')).toBeUndefined();
});

it('does not rely on what was heard long ago', async () => {
  await suppress('ann@mail.test');
  const suppressions = await new SuppressionGate(recorded, { priority: 'ignore' }).open(batch, view, await marker());
  vi.advanceTimersByTime(9_000);
  expect(suppressions.fresh).toBe(true);
  vi.advanceTimersByTime(2_000);
  expect(suppressions.fresh).toBe(false);
  await suppressions.refresh(await marker());
  expect(suppressions.fresh).toBe(true);

  vi.spyOn(records, 'get').mockRejectedValue(new Error('connection lost'));
  await expect(suppressions.refresh({ plain: '1', changed: 'since' })).rejects.toThrow('connection lost');
  expect(suppressions.of('ann@mail.test')?.reason).toBe('unsubscribed');
});

it('asks a list that tells no changes every few seconds', async () => {
  const find = vi.fn<SuppressionList['find']>(() => Promise.resolve(new Map()));
  const list = { find } as unknown as SuppressionList;
  const gate = new SuppressionGate(recorded, { list, priority: 'ignore' });
  expect(gate.markers).toEqual([]);
  const suppressions = await gate.open(batch, view, undefined);
  await suppressions.refresh(undefined);
  expect(find).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(3_000);
  await suppressions.refresh(undefined);
  expect(find.mock.calls).toEqual([
    [['ann@mail.test', 'cid@mail.test'], { lane: 'bulk', list: 'news' }],
    [['ann@mail.test', 'cid@mail.test'], { lane: 'bulk', list: 'news' }],
  ]);
});

it('gives up a list that does not answer, well before what it said last is stale', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
  const find = vi.fn<SuppressionList['find']>(() => new Promise(() => undefined));
  const opened = new SuppressionGate(recorded, { list: { find } as unknown as SuppressionList, priority: 'ignore' })
    .open(batch, view, undefined)
    .catch(String);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await opened).toBe('Error: The list of the mail option suppression.list has not answered within 5 s.');
});

it.each([
  ['hard-bounces', [{ lane: 'priority' }]],
  ['ignore', []],
] as const)('heeds for what came over from the priority lane what that does: %s', async (priority, expected) => {
  const mails: SuppressedMail[] = [];
  const find: SuppressionList['find'] = (_, mail) => {
    mails.push(mail);
    return Promise.resolve(new Map<string, Suppression>());
  };
  const gate = new SuppressionGate(recorded, { list: { find } as unknown as SuppressionList, priority });
  await gate.open({ ...batch, urgency: 'overflow' }, view, undefined);
  expect(mails).toEqual(expected);
});
