import { cpus, loadavg, totalmem } from 'node:os';

/** What figures depend on, in one line. */
export function machine(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown CPU'}, ${memory} GB, Node.js ${process.version}`;
}

/** Programs that wanted to run in the last minute, on average: tells whether the machine had anything else to do. */
export function load(): number {
  return loadavg()[0] ?? 0;
}
