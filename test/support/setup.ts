import { afterAll, vi } from 'vitest';
import { cleanUp } from './cleanup.js';

// Registered before any hook of the test file, so it runs after all of them.
afterAll(cleanUp);
// The next file may run in the same process.
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});
