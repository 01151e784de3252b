/** Charts as SVG that keep to the reader's light or dark scheme, each on a ground of its own. */
const WIDTH = 760;
const FONT = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';

const STYLE = `
  text { font: 13px ${FONT}; fill: #1f2937 }
  .title { font-size: 17px; font-weight: 600 }
  .soft { fill: #64748b; font-size: 12px }
  .ground { fill: #ffffff; stroke: #e2e8f0 }
  .rule { stroke: #e2e8f0 }
  .bar, .key1 { fill: #94a3b8 }
  .strong, .key0 { fill: #2563eb }
  .spread { stroke: #1f2937; stroke-width: 1.5 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .line0 { stroke: #2563eb }
  .line1 { stroke: #94a3b8 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb }
    .soft { fill: #94a3b8 }
    .ground { fill: #0f172a; stroke: #334155 }
    .rule { stroke: #334155 }
    .bar { fill: #64748b }
    .strong, .key0 { fill: #60a5fa }
    .spread { stroke: #e5e7eb }
    .line0 { stroke: #60a5fa }
    .line1 { stroke: #94a3b8 }
  }`;

export interface BarChart {
  title: string;
  subtitle: string;
  bars: {
    label: string;
    value: number;
    /** The spread of the samples. */
    low: number;
    high: number;
    /** Whether it is the one to look at. */
    strong?: boolean;
  }[];
}

/** Horizontal bars from 0, each with its label before it and its figure behind. */
export function barChart({ title, subtitle, bars }: BarChart): string {
  const [top, row, left, right] = [78, 34, 250, 80];
  const scale = (WIDTH - left - right) / Math.max(...bars.map(({ high }) => high));
  const body = bars.map(({ label, value, low, high, strong = false }, index) => {
    const y = top + index * row;
    const middle = y + 11;
    const [from, end, to] = [low, value, high].map((figure) => round(left + figure * scale));
    return `<text x="${left - 12}" y="${middle + 4}" text-anchor="end">${escape(label)}</text>
<rect class="${strong ? 'strong' : 'bar'}" x="${left}" y="${y}" width="${round(value * scale)}" height="22" rx="3"/>
<path class="spread" d="M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8"/>
<text x="${Math.max(end ?? 0, to ?? 0) + 8}" y="${middle + 4}">${grouped(value)}</text>`;
  });
  return frame(title, subtitle, top + bars.length * row + 12, body);
}

export interface LineChart {
  title: string;
  subtitle: string;
  x: { label: string; format?: (figure: number) => string };
  y: { label: string; format?: (figure: number) => string };
  lines: { label: string; points: readonly (readonly [x: number, y: number])[] }[];
}

/** Lines over an axis from 0, at most two. */
export function lineChart({ title, subtitle, x, y, lines }: LineChart): string {
  const [top, left, right, height] = [100, 64, 44, 260];
  const points = lines.flatMap((line) => line.points);
  const [maxX, maxY] = [Math.max(...points.map(([at]) => at)), Math.max(...points.map(([, at]) => at))];
  const yTicks = ticks(maxY);
  const topY = yTicks.at(-1) ?? 1;
  const toX = (figure: number) => round(left + (figure / maxX) * (WIDTH - left - right));
  const toY = (figure: number) => round(top + height - (figure / topY) * height);
  const bottom = top + height;
  const body = [
    ...yTicks.map(
      (tick) => `<path class="rule" d="M${left} ${toY(tick)}H${WIDTH - right}"/>
<text class="soft" x="${left - 8}" y="${toY(tick) + 4}" text-anchor="end">${(y.format ?? grouped)(tick)}</text>`,
    ),
    ...ticks(maxX)
      .filter((tick) => tick <= maxX)
      .map(
        (tick) =>
          `<text class="soft" x="${toX(tick)}" y="${bottom + 20}" text-anchor="middle">${(x.format ?? grouped)(tick)}</text>`,
      ),
    `<text class="soft" x="${left}" y="${top - 14}">${escape(y.label)}</text>`,
    `<text class="soft" x="${WIDTH - right}" y="${bottom + 40}" text-anchor="end">${escape(x.label)}</text>`,
    ...lines.map(({ label, points: own }, index) => {
      const path = own.map(([atX, atY]) => `${toX(atX)} ${toY(atY)}`).join('L');
      const key = WIDTH - right - (lines.length - index) * 150;
      return `<path class="line line${index}" d="M${path}"/>
<rect class="key${index}" x="${key}" y="${top - 25}" width="14" height="14" rx="3"/>
<text x="${key + 20}" y="${top - 13}">${escape(label)}</text>`;
    }),
  ];
  return frame(title, subtitle, bottom + 56, body);
}

/** Round figures from 0 to the first one that is not below the largest, 4 to 8 of them. */
export function ticks(largest: number): number[] {
  if (!(largest > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(largest / 4));
  const step = power * ([1, 2, 5, 10].find((factor) => largest / (factor * power) <= 7) ?? 10);
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_, index) =>
    Number((index * step).toPrecision(12)),
  );
}

function frame(title: string, subtitle: string, height: number, body: string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">
<style>${STYLE}
</style>
<rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>
<text class="title" x="24" y="34">${escape(title)}</text>
<text class="soft" x="24" y="54">${escape(subtitle)}</text>
${body.join('\n')}
</svg>
`;
}

function grouped(figure: number): string {
  return figure.toLocaleString('en', { maximumFractionDigits: figure < 10 ? 1 : 0 });
}

function round(figure: number): number {
  return Math.round(figure * 10) / 10;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
