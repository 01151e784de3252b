import type { Result } from './benchmark.js';
import { number } from './format.js';
import { table } from './table.js';

/**
 * The figures of all benchmarks in Markdown.
 *
 * @param versions such as `Redis 7.0.15`
 */
export function resultsPage(results: readonly Result[], versions: readonly string[]): string {
  const [first] = results;
  const bars = results.flatMap((result) => result.bars.map((bar) => [result.name, bar] as const));
  const rows = bars.map(([name, bar]) => {
    const sign = bar.better === 'higher' ? '≥' : '≤';
    const marks = [bar.limit, bar.aim].map((mark) => `${sign} ${mark.toLocaleString('en')} ${bar.unit}`);
    return [`[${name}](#${name}): ${bar.what}`, `${number(bar.measured)} ${bar.unit}`, ...marks, bar.verdict];
  });
  return [
    '# Results of the benchmarks',
    'Written by `npm run bench`. [How they measure](../docs/benchmarks.md).',
    `${first?.at.slice(0, 10)}, ${first?.machine}. ${versions.join(', ')}.`,
    table(['', 'measured', 'bar', 'aim', ''], rows),
    ...results.flatMap(ofBenchmark),
    '',
  ].join('\n\n');
}

function ofBenchmark({ name, sections, charts = [], notes, faults, seconds, load }: Result): string[] {
  return [
    `## ${name}`,
    ...sections,
    ...charts.map((chart) => `![${chart.caption}](charts/${chart.name}.svg)`),
    ...faults.map((fault) => `**Fault:** ${fault}`),
    ...notes,
    `It took ${seconds} s; the load was ${load.toFixed(1)} when it began.`,
  ];
}
