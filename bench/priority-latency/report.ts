import type { Bar } from '../lib/bar.js';
import type { Report } from '../lib/benchmark.js';
import { noiseNotes } from '../lib/noise.js';
import { type Summary, median, summarise } from '../lib/statistics.js';
import { table } from '../lib/table.js';
import { CONTENDERS, OURS } from './contender.js';
import { type Field, ROUND_TRIP, SCENARIOS, type Sample, type Scenario } from './field.js';

/** Round trips a priority mail may take, over each of the two lines. */
const LINES = {
  pipelining: { heading: 'With PIPELINING', limit: 2.2, aim: 2.05 },
  stepByStep: { heading: 'Without PIPELINING', limit: 4.2, aim: 4.05 },
} as const;

type Line = keyof typeof LINES;

export function report(fields: Record<Line, Field>): Omit<Report, 'faults'> {
  const lines = Object.keys(LINES) as Line[];
  return {
    sections: lines.map((line) => section(line, fields[line])),
    bars: lines.flatMap((line) => bars(line, fields[line])),
    notes: noiseNotes(
      lines.flatMap((line) => fields[line].roundTrips),
      ROUND_TRIP,
    ),
    data: Object.fromEntries(lines.map((line) => [line, figures(fields[line])])),
  };
}

function section(line: Line, field: Field): string {
  const measured = median(field.roundTrips).toFixed(1);
  const headings = ['round trips: median (fastest to slowest)', ...SCENARIOS, 'boot, ms'];
  const rows = Object.keys(CONTENDERS).map((contender) => [
    contender,
    ...SCENARIOS.map((scenario) => range(inRoundTrips(field, contender, scenario))),
    median(millis(field, contender, 'boot')).toFixed(0),
  ]);
  return `${LINES[line].heading}, ${ROUND_TRIP} ms round trip (a NOOP took ${measured} ms)\n\n${table(headings, rows)}`;
}

function bars(line: Line, field: Field): Bar[] {
  const { heading, limit, aim } = LINES[line];
  return SCENARIOS.map((scenario) => {
    const { median: measured } = inRoundTrips(field, OURS, scenario);
    return { what: `${heading.toLowerCase()}, ${scenario}`, measured, limit, aim, unit: 'round trips' };
  });
}

function figures(field: Field) {
  return {
    roundTrip: ROUND_TRIP,
    noop: summarise(field.roundTrips),
    contenders: Object.keys(CONTENDERS).map((contender) => ({
      contender,
      boot: summarise(millis(field, contender, 'boot')),
      ...Object.fromEntries(SCENARIOS.map((scenario) => [scenario, inRoundTrips(field, contender, scenario)])),
    })),
    samples: field.samples,
  };
}

function inRoundTrips(field: Field, contender: string, scenario: Scenario): Summary {
  return summarise(millis(field, contender, scenario).map((took) => took / ROUND_TRIP));
}

function millis(field: Field, contender: string, scenario: Sample['scenario']): number[] {
  return field.samples
    .filter((sample) => sample.contender === contender && sample.scenario === scenario)
    .map(({ took }) => took);
}

function range({ min, median, max }: Summary): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}
