import { table } from '../../bench/lib/table.js';
import type { Verdict } from './judge.js';
import { CONNECTIONS } from './scene.js';
import { workersOf, type RunOptions } from './schedule.js';

/** What a run is going to be, for the person who watches. */
export function intention(options: RunOptions): string {
  const { store, recipients, seed } = options;
  const workers = workersOf(options);
  return (
    `Seed ${seed}, ${store}: ${figure(recipients)} recipients, ` +
    `${workers} worker${workers > 1 ? 's' : ''} with ${CONNECTIONS} connections each`
  );
}

/** The command that repeats a run. */
export function commandFor({ store, seed, recipients, workers, faults, killProducer, outage }: RunOptions): string {
  const more = [
    ...(killProducer ? [] : [' --no-producer-kill']),
    ...(outage === undefined ? [` --faults ${faults}`] : [` --outage ${outage}ms`]),
  ];
  return `npm run chaos -- --store ${store} --seed ${seed} --recipients ${recipients} --workers ${workers}${more.join('')}`;
}

export function describeVerdict(verdict: Verdict): string {
  const { accepted, refused, lost, duplicates, bound, unanswered, elsewhere, silence, took, broken } = verdict;
  const rows = verdict.effects.map(
    ({ kind, at, lasted, accepted: before, duplicates: again, bound: most, recovery }) => [
      kind,
      seconds(at),
      figure(before),
      seconds(lasted),
      recovery === undefined ? 'was the last' : seconds(recovery),
      `${again}`,
      `${most}`,
    ],
  );
  return [
    '',
    table(['fault', 'at', 'accepted', 'lasted', 'next message', 'sent again', 'at most'], rows),
    '',
    `lost        ${lost}`,
    `duplicates  ${duplicates}, at most ${bound} allowed: ${unanswered} that the server kept without an answer, ` +
      `${duplicates - unanswered - elsewhere} at the faults above, ${elsewhere} elsewhere`,
    `accepted    ${figure(accepted)}, and ${figure(refused)} refused for good`,
    `silence     ${seconds(silence)} at the longest`,
    `took        ${seconds(took)}`,
    ...verdict.probes.map(
      ({ error = 'queued', message, milliseconds }) =>
        `producer    ${error} after ${milliseconds} ms: ${message ?? ''}`,
    ),
    ...broken.map((rule) => `BROKEN      ${rule}`),
    '',
  ].join('\n');
}

function figure(count: number): string {
  return count.toLocaleString('en');
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(milliseconds < 1_000 ? 2 : 1)} s`;
}
