import { platform } from 'node:os';
import { afterEach, expect, it, vi } from 'vitest';
import { CpuShare } from '../../src/cli/status-agent/cpu-share.js';
import { availableIn, freeDisk, freeMemory } from '../../src/cli/status-agent/machine.js';

afterEach(() => {
  vi.useRealTimers();
});

it('the memory that is free is what programs can still get', async () => {
  expect(availableIn('MemTotal:       16000000 kB\nMemFree: 100 kB\nMemAvailable:    4000000 kB\n')).toBe(25);
  // Linux before 3.14.
  expect(availableIn('MemTotal:       16000000 kB\nMemFree: 100 kB\n')).toBeUndefined();
  if (platform() === 'linux') expect(await freeMemory()).toBeGreaterThan(0);
});

it('the disk is that of a folder', async () => {
  expect(await freeDisk('.')).toBeGreaterThanOrEqual(0);
  expect(await freeDisk('.')).toBeLessThanOrEqual(100);
  await expect(freeDisk('/nowhere')).rejects.toThrow('ENOENT');
});

it('where there is no load average, it is the share of the cores that were busy in the last minute', async () => {
  vi.useFakeTimers();
  const cores = [0, 1].map(() => ({ times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }));
  const run = async (seconds: number, ...busy: boolean[]) => {
    for (let second = 0; second < seconds; second++) {
      cores.forEach(({ times }, index) => (times[busy[index] ? 'user' : 'idle'] += 1_000));
      await vi.advanceTimersByTimeAsync(1_000);
    }
  };
  const share = new CpuShare(() => cores.map(({ times }) => ({ times: { ...times } })));
  expect(share.value).toBeUndefined();
  await run(30, true, false);
  expect(share.value).toBe(0.5);
  await run(30, true, true);
  expect(share.value).toBe(0.75);
  await run(60, false, false);
  expect(share.value).toBe(0);
  share.stop();
  expect(vi.getTimerCount()).toBe(0);
});
