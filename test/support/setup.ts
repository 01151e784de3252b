import { afterAll } from 'vitest';
import { cleanUp } from './cleanup.js';

// Registered before any hook of the test file, so it runs after all of them.
afterAll(cleanUp);
