import { cpus, loadavg, totalmem } from 'node:os';

/** What figures depend on, in one line. The load tells whether the machine had anything else to do. */
export function machine(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown CPU'}, ${memory} GB, Node.js ${process.version}, load ${loadavg()[0]?.toFixed(1)}`;
}
