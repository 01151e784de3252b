/** A process with one contender: `client-process.ts <contender>`. */
import type { Relay } from '../lib/mail-server.js';
import { serve } from '../lib/serve.js';
import { type Contender, loadContender } from './contender.js';
import { passwordReset } from './password-reset.js';

const boot = await loadContender(process.argv[2] ?? '');
let contender: Contender;

serve({
  /** Milliseconds it took. */
  async boot(relay: Relay): Promise<number> {
    const started = performance.now();
    contender = await boot(relay);
    return performance.now() - started;
  },
  /** Milliseconds until the server had accepted the mail. */
  async send(to: string): Promise<number> {
    const mail = passwordReset(to);
    const started = performance.now();
    await contender.send(mail);
    return performance.now() - started;
  },
});
