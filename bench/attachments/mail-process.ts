/** A producer or a worker of ours, whose queue is in Redis and whose attachments are in a folder. */
import { MailModule, MailService } from 'nestjs-priority-mail';
import { bootNest } from '../lib/nest.js';
import { SENDER, newsletter, subscriber } from '../lib/newsletter.js';
import { serve } from '../lib/serve.js';
import { type Memory, MemoryWatch } from './memory.js';

export interface MailOptions {
  redis: string;
  /** A URL. */
  sink: string;
  /** Of attachments. A URL. */
  store: string;
  /** Where the file is. */
  folder: string;
  worker: boolean;
}

/** Whom the file goes to, and by how many calls. */
export interface Mailing {
  id: string;
  file: string;
  first: number;
  count: number;
  by: 'sendBulk()' | 'send()';
}

const BYTES = 2_048;
const watch = new MemoryWatch();
let mail: MailService;

serve({
  async boot({ redis, sink, store, folder, worker }: MailOptions): Promise<void> {
    const app = await bootNest(
      MailModule.forRoot({
        from: SENDER,
        transports: [{ name: 'sink', url: sink, minWarm: 0, maxConnections: 10 }],
        attachments: { store, allowedDir: folder },
        queue: { connection: redis, worker: worker ? {} : false },
      }),
    );
    mail = app.get(MailService);
    await mail.queue();
  },

  async queue({ id, file, first, count, by }: Mailing): Promise<void> {
    const attachments = [{ path: file, contentType: 'application/pdf' }];
    if (by === 'sendBulk()') {
      await mail.sendBulk({ ...newsletter({ id, bytes: BYTES, first, count }), attachments });
      return;
    }
    for (let n = first; n < first + count; n++) {
      const { to, name } = subscriber(n);
      await mail.send({ lane: 'bulk', to, subject: `News for ${name}`, text: `Hello ${name}`, attachments });
    }
  },

  pause: () => mail.pause(),
  resume: () => mail.resume(),
  memory: (): Memory => watch.take(),
});
