import {
  startThrottledSmtp,
  type ThrottledSmtp,
  type ThrottledSmtpOptions,
} from '../../test/support/throttled-smtp.js';
import type { Taken } from './throttled-sink.js';
import { serve } from './serve.js';

let server: ThrottledSmtp;

serve({
  /** @returns the URL */
  async listen(options: ThrottledSmtpOptions): Promise<string> {
    server = await startThrottledSmtp(options);
    return server.url;
  },
  slowDown(delay: number): void {
    server.delay = delay;
  },
  taken: (): Taken => ({ accepted: server.accepted, refused: server.refused }),
});
