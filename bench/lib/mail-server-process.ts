import { type TestSmtpServer, startSmtpServer } from '../../test/support/smtp-server.js';
import type { MailServerOptions, Relay } from './mail-server.js';
import { serve } from './serve.js';

let server: TestSmtpServer;
const login = { user: 'shop', pass: 'secret' };

serve({
  async start(options: MailServerOptions): Promise<Relay> {
    server = await startSmtpServer({ tls: 'starttls', auth: login, ...options });
    return { host: '127.0.0.1', port: server.port, ca: server.certificate?.cert ?? '', ...login };
  },
  recipients: (): string[] => server.received.flatMap(({ to }) => to),
});
