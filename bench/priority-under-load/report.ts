import type { Report } from '../lib/benchmark.js';
import { noiseNotes } from '../lib/noise.js';
import { median, percentile } from '../lib/statistics.js';
import { table } from '../lib/table.js';
import { type Phase, ROUND_TRIP, type Run } from './trial.js';

export function report(runs: readonly Run[]): Omit<Report, 'faults'> {
  const phases = [...new Set(runs.map(({ phase }) => phase))];
  const figures = phases.map((phase) => figuresOf(phase, runs));
  const headings = [
    'milliseconds',
    'mails',
    'p50',
    'p99',
    'p99.9',
    'worst',
    'p99 ÷ idle',
    'loop p99',
    'NOOP p99',
    'bulk/s',
  ];
  const rows = figures.map((each) => [
    each.phase,
    `${each.mails}`,
    ...[each.p50, each.p99, each.p999, each.worst].map((figure) => figure.toFixed(1)),
    each.toIdle.toFixed(2),
    each.loopP99.toFixed(1),
    each.noopP99.toFixed(1),
    each.bulkPerSecond.toFixed(0),
  ]);
  const quiet = runs.filter(({ phase }) => phase === 'idle').flatMap(({ roundTrips }) => roundTrips);
  const heading = `Priority lane, ${ROUND_TRIP} ms round trip (a NOOP took ${median(quiet).toFixed(1)} ms)`;
  const measured = figures.find(({ phase }) => phase === 'bulk in the same process')?.toIdle ?? NaN;
  return {
    sections: [`${heading}\n\n${table(headings, rows)}`],
    bars: [{ what: 'p99 with bulk in the same process ÷ idle', measured, limit: 2, aim: 1.3, unit: '×' }],
    notes: noiseNotes(quiet, ROUND_TRIP),
    data: { roundTrip: median(quiet), figures, runs },
  };
}

function figuresOf(phase: Phase, runs: readonly Run[]) {
  const own = runs.filter((run) => run.phase === phase);
  const idle = runs.filter((run) => run.phase === 'idle');
  const took = own.flatMap((run) => run.took);
  const p99 = (run: Run | undefined) => percentile(run?.took ?? [], 0.99);
  return {
    phase,
    mails: took.length,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    p999: percentile(took, 0.999),
    worst: percentile(took, 1),
    /** The median of the repeats, each beside the idle phase of the same repeat. */
    toIdle: median(own.map((run, repeat) => p99(run) / p99(idle[repeat]))),
    noopP99: median(own.map(({ roundTrips }) => percentile(roundTrips, 0.99))),
    loopP99: median(own.map(({ loopDelay }) => loopDelay.p99)),
    bulkPerSecond: median(own.map(({ bulkPerSecond }) => bulkPerSecond)),
  };
}
