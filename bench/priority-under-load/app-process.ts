/** A process with the mail module, both lanes in use, that does as it is asked. */
import { MailModule, MailService } from 'nestjs-priority-mail';
import type { Relay } from '../lib/mail-server.js';
import { bootNest } from '../lib/nest.js';
import { serve } from '../lib/serve.js';
import { type BulkCounts, BulkLoad, pending } from './bulk-load.js';
import { type SteadyRate, type SteadyResult, sendSteadily } from './steady-sends.js';

export interface AppOptions {
  /** Where the priority lane hands in its mail. */
  relay: Relay;
  /** The same for the bulk lane; a URL. */
  sink: string;
  redis: string;
}

export interface PhaseOptions extends SteadyRate {
  /** Begins the recipients' addresses. */
  label: string;
}

export interface PhaseResult extends SteadyResult {
  recipients: string[];
}

export interface BulkProgress extends BulkCounts {
  pending: number;
}

let mail: MailService;
let bulk: BulkLoad;

serve({
  async boot({ relay, sink, redis }: AppOptions): Promise<void> {
    const url = `smtp://${relay.user}:${relay.pass}@${relay.host}:${relay.port}`;
    const app = await bootNest(
      MailModule.forRoot({
        from: 'Shop <no-reply@shop.test>',
        transports: [
          { name: 'relay', url, tls: { ca: relay.ca }, lanes: ['priority'] },
          { name: 'sink', url: sink, lanes: ['bulk'], maxConnections: 10 },
        ],
        queue: { connection: redis },
      }),
    );
    mail = app.get(MailService);
    bulk = new BulkLoad(mail);
  },

  async prioritise({ label, ...rate }: PhaseOptions): Promise<PhaseResult> {
    const recipients: string[] = [];
    const send = () => {
      const to = `${label}${recipients.length}@mail.test`;
      recipients.push(to);
      return mail.send({ to, subject: 'Your code', text: `Your code is ${recipients.length}.`, lane: 'priority' });
    };
    return { ...(await sendSteadily(rate, send)), recipients };
  },

  startBulk: () => bulk.start(),
  endBulk: () => bulk.end(),
  async bulkProgress(): Promise<BulkProgress> {
    const counts = await bulk.counts();
    return { ...counts, pending: pending(counts) };
  },
});
