import { expect, it } from 'vitest';
import { outcomeOf, type RunEnd } from '../../src/cli/bulk/outcome.js';
import { Pace, progressLine } from '../../src/cli/bulk/progress.js';
import type { TransportHealth } from '../../src/nest/mail-health.js';
import type { CampaignReport } from '../../src/queue/reader.js';

const REPORT: CampaignReport = {
  ...{ id: 'spring', state: 'running', total: 1_000, queued: 1_000, sent: 0, failed: 0, deferred: 0 },
  ...{ cancelled: 0, suppressed: 0, expired: 0, startedAt: new Date(0), seenAt: new Date(0) },
};
const HEALTH: TransportHealth = { name: 'main', rank: { bulk: 1 }, reason: '', circuit: 'closed' };
const WINDOW = { size: 1, max: 5, inFlight: 0 };
const reportOf = (fields: Partial<CampaignReport>): CampaignReport => ({ ...REPORT, ...fields });

/** After so many were sent in each of the seconds. */
function paceOf(...sent: number[]): Pace {
  const pace = new Pace();
  sent.forEach((count, second) => pace.add(reportOf({ queued: 1_000 - count, sent: count }), second * 1_000));
  return pace;
}

it('tells how many are served, how fast, and how long the rest takes', () => {
  const report = reportOf({ queued: 490, sent: 495, failed: 10, suppressed: 5 });
  expect(progressLine(report, paceOf(300, 400, 500), [HEALTH])).toBe(
    '[##########..........] 51 %: 495 sent, 10 failed, 5 suppressed, 490 remaining, 100/s, 5 s left',
  );
  expect(progressLine(report, paceOf(499, 500), [HEALTH])).toMatch(/, 1\/s, 9 min left$/);
  expect(progressLine(reportOf({ queued: 990_000, total: 1_000_000 }), paceOf(0, 100), [HEALTH])).toMatch(
    /, 100\/s, 2 h 45 min left$/,
  );
  expect(progressLine(reportOf({ queued: 0, sent: 1_000 }), paceOf(1_000), [HEALTH])).toMatch(/ 0 remaining$/);
});

it('forgets how fast it once was', () => {
  const slow = [500, 510, 520, 530, 540, 550, 560, 570, 580, 590, 600, 610];
  expect(paceOf(0, ...slow).rate).toBeCloseTo(10);
});

it.each<[string, Partial<CampaignReport>, Partial<TransportHealth>]>([
  ['main is down (no route)', {}, { circuit: 'open', lastError: { at: new Date(0), error: 'no route' } }],
  ['main takes no more (454 Throttling)', {}, { window: { ...WINDOW, reason: '454 Throttling' } }],
  ['waits for the next attempt (450 Later)', { queued: 0, deferred: 20, sent: 980, lastError: '450 Later' }, {}],
  ['waits for the store', { boundBy: 'store' }, {}],
])('tells that it %s', (told, report, health) => {
  const still = paceOf(980, 980, 980, 980);
  expect(progressLine(reportOf(report), still, [{ ...HEALTH, ...health }])).toMatch(
    new RegExp(`, ${told.replace(/[()]/g, '\\$&')}$`),
  );
});

it('tells of a rate limit while it goes on', () => {
  const line = progressLine(reportOf({ boundBy: 'rate limit' }), paceOf(0, 10), [HEALTH]);
  expect(line).toMatch(/left, held to the rate limit$/);
});

it.each<[number, RegExp, Partial<CampaignReport>, Partial<RunEnd>]>([
  [0, /^All are served/, { state: 'completed', queued: 0 }, {}],
  [1, /^All are served/, { state: 'completed', queued: 0, failed: 1 }, {}],
  [1, /^All are served/, { state: 'completed', queued: 0 }, { invalid: 1 }],
  [0, /completed before/, { state: 'completed', queued: 0 }, { before: reportOf({ state: 'completed' }) }],
  [1, /cancelled/, { state: 'cancelled' }, {}],
  [143, /^Interrupted\. The same command/, {}, { signal: 'SIGTERM' }],
  [6, /stands still: 421 Busy\. The same command/, { state: 'suspended', lastError: '421 Busy' }, {}],
  [6, /priority-mail resume spring/, { state: 'paused' }, {}],
  [6, /The bulk lane is paused/, {}, { isHeld: true }],
  [6, /The time is over/, {}, {}],
  [0, /A worker of the application/, {}, { queueOnly: true }],
])('ends with %d and says %s', (exitCode, text, report, end) => {
  const none: RunEnd = { before: undefined, invalid: 0, signal: undefined, isHeld: false, queueOnly: false };
  expect(outcomeOf(reportOf(report), { ...none, ...end })).toEqual({
    exitCode,
    text: expect.stringMatching(text) as string,
  });
});
