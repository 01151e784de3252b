import { MailModule, MailService } from 'nestjs-priority-mail';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootNest } from '../nest.js';
import { type Issue, SENDER, letters, newsletter } from '../newsletter.js';
import type { Boot, Sender, SenderOptions } from './sender.js';

async function bootMail({
  sink,
  others = [],
  store,
  connections = 10,
  worker = true,
  batch = {},
  batches,
}: SenderOptions) {
  const work = batches === undefined ? {} : { worker: { batches } };
  const app = await bootNest(
    MailModule.forRoot({
      from: SENDER,
      transports: [sink, ...others].map((url, index) => ({
        name: index === 0 ? 'sink' : `sink-${index + 1}`,
        url,
        minWarm: 0,
        maxConnections: connections,
      })),
      queue: { connection: store, batch, ...(worker ? work : { worker: false }) },
    }),
  );
  return app.get(MailService);
}

/** One message for all, merged for each. */
export const bootSendBulk: Boot = async (options): Promise<Sender> => {
  const mail = await bootMail(options);
  let queued: Issue | undefined;
  return {
    async queue(issue) {
      if (options.worker !== false) await mail.pause();
      const receipt = await mail.sendBulk(newsletter(issue));
      if (receipt.queued !== issue.count) throw new Error(`Of ${issue.count} recipients ${receipt.queued} were queued`);
      queued = issue;
    },
    deliver: () => mail.resume(),
    async settle() {
      if (!queued) return;
      const { id, count } = queued;
      for (;;) {
        const report = await mail.campaign(id);
        if (report?.state === 'completed') {
          if (report.sent !== count) throw new Error(`Of ${count} mails ${report.sent} count as sent`);
          return;
        }
        await sleep(20);
      }
    },
  };
};

/** A message of its own for each, all in one go. */
export const bootSend: Boot = async (options): Promise<Sender> => {
  const mail = await bootMail(options);
  return {
    async queue(issue) {
      if (options.worker !== false) await mail.pause();
      await Promise.all(Array.from(letters(issue), (letter) => mail.send({ ...letter, lane: 'bulk' })));
    },
    deliver: () => mail.resume(),
    async settle() {
      for (;;) {
        const { waiting, delayed, active } = (await mail.queue()).batches;
        if (waiting + delayed + active === 0) return;
        await sleep(20);
      }
    },
  };
};
