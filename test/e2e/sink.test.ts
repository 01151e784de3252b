import { expect, it } from 'vitest';
import { startMail } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { hasSmtpSink, startSmtpSink } from '../support/smtp-sink.js';
import { onEveryStore } from '../support/stores.js';

onEveryStore((store) => {
  it.skipIf(!hasSmtpSink())(
    'delivers 5,000 messages to Postfix’s smtp-sink',
    async () => {
      const sink = await startSmtpSink();
      const app = await startMail({ smtp: sink.url, queue: { connection: await store.create() } });
      const recipients = Array.from({ length: 5_000 }, (_, n) => ({
        to: `r${n}@readers.test`,
        context: { name: `이름 ${n}` },
      }));
      const { id } = await app.mail.sendBulk({ subject: 'Hi {{name}}', html: '<p>{{name}}</p>', recipients });
      await eventually(
        async () => expect(await app.mail.campaign(id)).toMatchObject({ state: 'completed', sent: 5_000 }),
        {
          within: 60_000,
        },
      );
      await app.close();
      await eventually(() => expect(sink.messages).toBe(5_000));
    },
    90_000,
  );
});
