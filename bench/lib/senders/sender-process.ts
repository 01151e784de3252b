/** A process with one sender: `sender-process.ts <name>`. */
import type { Issue } from '../newsletter.js';
import { serve } from '../serve.js';
import { type Sender, type SenderName, type SenderOptions, bootSender } from './sender.js';

const [name] = process.argv.slice(2);
let sender: Sender;
let started: NodeJS.CpuUsage;

serve({
  async boot(options: SenderOptions): Promise<void> {
    sender = await bootSender(name as SenderName, options);
  },
  /** @returns the milliseconds it took */
  async queue(issue: Issue): Promise<number> {
    const began = performance.now();
    await sender.queue(issue);
    return performance.now() - began;
  },
  async deliver(): Promise<void> {
    started = process.cpuUsage();
    await sender.deliver();
  },
  /** @returns the milliseconds of processor time since `deliver` */
  async settle(): Promise<number> {
    await sender.settle();
    const { user, system } = process.cpuUsage(started);
    return (user + system) / 1_000;
  },
});
