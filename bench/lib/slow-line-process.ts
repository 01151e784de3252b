import { type TcpProxy, startTcpProxy } from '../../test/support/tcp-proxy.js';
import { serve } from './serve.js';

let proxy: TcpProxy;

serve({
  /** @returns its port */
  async open(target: number): Promise<number> {
    proxy = await startTcpProxy(target, { handshake: true });
    return proxy.port;
  },
  /** Milliseconds each way. */
  delay(milliseconds: number): void {
    proxy.delay = milliseconds;
  },
});
