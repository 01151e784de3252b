import { describe, expect, it } from 'vitest';
import { barChart, lineChart, ticks } from '../../bench/lib/chart.js';

describe('ticks', () => {
  it.each([
    [8_117, [0, 2_000, 4_000, 6_000, 8_000, 10_000]],
    [200, [0, 50, 100, 150, 200]],
    [1_000_000, [0, 200_000, 400_000, 600_000, 800_000, 1_000_000]],
    [0.7, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]],
  ])('reach up to %d in round steps', (largest, expected) => {
    expect(ticks(largest)).toEqual(expected);
  });

  it('are there without anything to show', () => {
    expect(ticks(0)).toEqual([0, 1]);
    expect(ticks(NaN)).toEqual([0, 1]);
  });
});

describe('charts', () => {
  it('draw a bar as long as its figure', () => {
    const bars = [
      { label: 'ours', value: 200, low: 190, high: 200, strong: true },
      { label: 'theirs', value: 100, low: 90, high: 110 },
    ];
    const svg = barChart({ title: 'Speed', subtitle: '', bars });
    const widths = [...svg.matchAll(/class="(strong|bar)" .*? width="([\d.]+)"/g)].map(([, kind, width]) => [
      kind,
      Number(width),
    ]);
    expect(widths).toEqual([
      ['strong', 430],
      ['bar', 215],
    ]);
  });

  it('draw a line from corner to corner', () => {
    const points = [
      [0, 0],
      [10, 5],
    ] as const;
    const svg = lineChart({
      title: '',
      subtitle: '',
      x: { label: '' },
      y: { label: '' },
      lines: [{ label: 'a', points }],
    });
    expect(svg).toContain('d="M64 360L716 100"');
  });

  it('escape what they are told to say', () => {
    const svg = barChart({ title: '<a> & "b"', subtitle: '', bars: [{ label: '<', value: 1, low: 1, high: 1 }] });
    expect(svg).toContain('&lt;a&gt; &amp; &quot;b&quot;');
    expect(svg).not.toContain('<a>');
  });
});
