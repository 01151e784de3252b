import { cpus, type CpuInfo } from 'node:os';

/** Milliseconds. The share is that of the last minute, as a load average is. */
const WINDOW = 60_000;
const EVERY = 5_000;

interface Sample {
  at: number;
  idle: number;
  total: number;
}

/** The share of the cores that were busy in the last minute, for systems that have no load average. */
export class CpuShare {
  private readonly samples: Sample[];
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly read: () => Pick<CpuInfo, 'times'>[] = cpus) {
    this.samples = [this.sample()];
    this.timer = setInterval(() => this.samples.push(this.sample()), EVERY);
    this.timer.unref();
  }

  /** From 0 to 1; undefined before there is anything to compare with. */
  get value(): number | undefined {
    const now = this.sample();
    while (now.at - this.samples[0]!.at > WINDOW && this.samples.length > 1) this.samples.shift();
    const [first] = this.samples;
    const total = now.total - first!.total;
    return total > 0 ? 1 - (now.idle - first!.idle) / total : undefined;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private sample(): Sample {
    const times = this.read().map((cpu) => cpu.times);
    const idle = times.reduce((sum, time) => sum + time.idle, 0);
    const busy = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0);
    return { at: performance.now(), idle, total: idle + busy };
  }
}
