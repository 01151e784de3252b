import assert from 'node:assert/strict';
import type { Message } from '../message/message.js';
import { rawOf } from '../mime/encoded.js';
import type { Transport } from '../transport/transport.js';
import { failureOf, mailOf, options, recipients, refused, send } from './check-mail.js';

/** How the server behind a transport treats the messages that come from now on. */
export type ServerMood =
  /** Takes them, when `after` has resolved. */
  | { does: 'accept'; after?: Promise<unknown> }
  /** Takes no message for these, for good, and each for the others. */
  | { does: 'refuse-recipients'; addresses: readonly string[] }
  | { does: 'refuse-message' }
  /** Takes none for now, because there are too many. */
  | { does: 'be-busy' }
  /** Can be used by nobody: it is away, or knows the login no more. */
  | { does: 'be-down' }
  /** Takes each in whole, and never answers. */
  | { does: 'say-nothing' };

/** A message that the server has, whether or not it has answered. */
export interface ServerMail {
  /** Whom it is to reach. Their domains in ASCII. */
  recipients: readonly string[];
  /** What a recipient could see of it: headers and bodies, or the request that they are made from. Without the recipients in Bcc. */
  visible: string;
  /** As it came, where the server takes bytes. */
  raw?: Buffer;
  /** The Message-ID header's value that it goes out with, where the server does not make its own. */
  messageId?: string;
}

/** The server behind the transport, or a stand-in that answers like it. */
export interface ContractServer {
  /** In the order in which they came. */
  readonly mails: readonly ServerMail[];
  behave(mood: ServerMood): void | Promise<void>;
}

/** What a check works with. */
interface Scene {
  transport: Transport;
  server: ContractServer;
  /** Those that came since the check began. */
  mails: () => readonly ServerMail[];
  /** Waits until so many have come. */
  arrived: (count: number) => Promise<void>;
}

/** Its name, what the server has to be able to do, and what it does. */
export type Check = [
  name: string,
  needs: readonly (ServerMood['does'] | 'refuse-some')[],
  run: (scene: Scene) => Promise<void>,
];

const ANN = 'ann@mail.example';
const BOB = 'bob@mail.example';
const CAT = 'cat@mail.example';
const DAN = 'dan@mail.example';
const AT_ONCE = 24;

/** What every transport has to keep. */
export const TRANSPORT_CHECKS: readonly Check[] = [
  [
    'sends to one recipient, and tells what the server answered',
    [],
    async ({ transport, mails }) => {
      const { accepted, rejections, response } = await send(transport, { to: [ANN] });
      assert.deepEqual(accepted, [ANN]);
      assert.deepEqual(rejections, []);
      assert.notEqual(response, '', 'the response is empty');
      assert.deepEqual(recipients(mails()), [[ANN]]);
    },
  ],
  [
    'sends to all recipients of the envelope, and to no other',
    [],
    async ({ transport, mails }) => {
      const { accepted } = await send(transport, { to: [ANN, BOB], cc: [CAT], bcc: [DAN] });
      assert.deepEqual([...accepted].sort(), [ANN, BOB, CAT, DAN]);
      assert.deepEqual(recipients(mails()), [[ANN, BOB, CAT, DAN]]);
    },
  ],
  [
    'shows nobody who is in Bcc',
    [],
    async ({ transport, mails }) => {
      await send(transport, { to: [ANN], bcc: [DAN] });
      assert.ok(mails().length > 0, 'nothing has arrived');
      for (const { visible } of mails()) assert.ok(!visible.includes(DAN), 'the recipient in Bcc can be seen');
    },
  ],
  [
    'tries again for some of the recipients alone',
    [],
    async ({ transport, mails }) => {
      const { accepted } = await send(transport, { to: [ANN, BOB], bcc: [DAN] }, { envelope: [BOB] });
      assert.deepEqual(accepted, [BOB]);
      assert.deepEqual(recipients(mails()), [[BOB]]);
    },
  ],
  [
    'writes international domains in ASCII in the envelope',
    [],
    async ({ transport, mails }) => {
      const { accepted } = await send(transport, { to: ['ann@bücher.example'] });
      assert.deepEqual(accepted, ['ann@xn--bcher-kva.example']);
      assert.deepEqual(recipients(mails()), [['ann@xn--bcher-kva.example']]);
    },
  ],
  [
    'sends headers, both bodies and attachments',
    [],
    async ({ transport, mails }) => {
      const headers: Message['headers'] = [
        ['List-Unsubscribe', '<https://shop.example/u/1>'],
        ['X-Order', '42'],
      ];
      const content = Buffer.from('%PDF-1.7 an invoice');
      const attachments: Message['attachments'] = [
        { filename: 'invoice.pdf', contentType: 'application/pdf', disposition: 'attachment', content },
        { filename: 'logo.png', contentType: 'image/png', disposition: 'inline', cid: 'logo@shop', content },
      ];
      const html = '<p>Seen by some <img src="cid:logo@shop"></p>';
      await send(transport, { to: [ANN] }, { headers, attachments, text: 'Seen by others', html });
      const [{ visible } = { visible: '' }] = mails();
      const expected = ['List-Unsubscribe', '<https://shop.example/u/1>', 'X-Order', 'Seen by some', 'Seen by others'];
      for (const part of [...expected, 'invoice.pdf', 'logo@shop', content.toString('base64')]) {
        assert.ok(visible.includes(part), `${part} has not arrived`);
      }
    },
  ],
  [
    'shows the From that was written, not the sender of the envelope',
    [],
    async ({ transport, mails }) => {
      const from = { name: 'The Shop', address: 'hello@shop.example' };
      const sender = 'bounces+1@returned.example';
      await send(transport, { to: [ANN] }, { from, sender });
      const [{ visible } = { visible: '' }] = mails();
      for (const part of ['The Shop', from.address]) assert.ok(visible.includes(part), `${part} has not arrived`);
      assert.ok(!visible.replace(/^return-path:.*$/gim, '').includes(sender), 'the sender of the envelope can be seen');
    },
  ],
  [
    'hands over the bytes as they are, and with them the Message-ID',
    [],
    async ({ transport, mails }) => {
      const outgoing = await mailOf({ to: [ANN] }, { text: '.\n..a dot\nGrüße' });
      await transport.send(outgoing, options());
      const [{ raw, messageId } = {} as Partial<ServerMail>] = mails();
      if (raw) assert.equal(raw.toString('latin1'), rawOf(outgoing).toString('latin1'));
      if (messageId !== undefined) assert.equal(messageId, outgoing.mail?.messageId);
    },
  ],
  [
    'tells who was refused while others were served',
    ['refuse-recipients', 'refuse-some'],
    async ({ transport, server, mails }) => {
      await server.behave({ does: 'refuse-recipients', addresses: [BOB] });
      const { accepted, rejections } = await send(transport, { to: [ANN, BOB, CAT] });
      assert.deepEqual([...accepted].sort(), [ANN, CAT]);
      assert.deepEqual(
        rejections.map(({ address, permanent }) => ({ address, permanent })),
        [{ address: BOB, permanent: true }],
      );
      assert.notEqual(rejections[0]?.reply, '', 'the reply is empty');
      assert.deepEqual(recipients(mails()), [[ANN, CAT]]);
    },
  ],
  [
    'tells of a recipient who is refused',
    ['refuse-recipients'],
    async ({ transport, server }) => {
      await server.behave({ does: 'refuse-recipients', addresses: [ANN] });
      await refused(send(transport, { to: [ANN] }), 'recipient-refused');
    },
  ],
  [
    'tells of a message that is refused',
    ['refuse-message'],
    async ({ transport, server }) => {
      await server.behave({ does: 'refuse-message' });
      await refused(send(transport, { to: [ANN] }), 'message-refused');
    },
  ],
  [
    'tells of a server that is busy, and sends when it is not',
    ['be-busy'],
    async ({ transport, server, mails }) => {
      await server.behave({ does: 'be-busy' });
      await refused(send(transport, { to: [ANN] }), 'busy');
      await server.behave({ does: 'accept' });
      await send(transport, { to: [ANN] });
      assert.deepEqual(recipients(mails()), [[ANN]]);
    },
  ],
  [
    'tells of a server that cannot be used, to a check as well, and sends when it can',
    ['be-down'],
    async ({ transport, server, mails }) => {
      await server.behave({ does: 'be-down' });
      await refused(send(transport, { to: [ANN] }), 'down');
      await refused(transport.verify(new AbortController().signal), 'down');
      await server.behave({ does: 'accept' });
      await send(transport, { to: [ANN] });
      assert.deepEqual(recipients(mails()), [[ANN]]);
    },
  ],
  [
    'says that it does not know when no answer comes after the message',
    ['say-nothing'],
    async ({ transport, server, arrived }) => {
      await server.behave({ does: 'say-nothing' });
      const over = new AbortController();
      const sending = refused(send(transport, { to: [ANN] }, {}, over.signal), 'unknown');
      await Promise.race([arrived(1), sending]);
      over.abort(new Error('Nobody waits any more'));
      await sending;
    },
  ],
  [
    'sends nothing that nobody waits for any more',
    [],
    async ({ transport, mails }) => {
      const sending = send(transport, { to: [ANN] }, {}, AbortSignal.abort(new Error('Nobody waits any more')));
      const error = await failureOf(sending);
      assert.equal(error.outcome, 'not-sent');
      assert.equal(error.permanent, false);
      assert.deepEqual(mails(), []);
    },
  ],
  [
    'asks before the body leaves whether it may',
    [],
    async ({ transport, mails }) => {
      const sending = transport.send(await mailOf({ to: [ANN] }), { ...options(), mayHandOver: () => false });
      assert.equal((await failureOf(sending)).outcome, 'not-sent');
      assert.deepEqual(mails(), []);
    },
  ],
  [
    'sends many at once over both lanes, each of them once',
    [],
    async ({ transport, mails }) => {
      const addresses = Array.from({ length: AT_ONCE }, (_, index) => `r${index}@mail.example`);
      await Promise.all(
        addresses.map((address, index) => {
          const lane = transport.lanes[index % transport.lanes.length]!;
          return send(transport, { to: [address] }, {}, undefined, lane);
        }),
      );
      assert.deepEqual(recipients(mails()).flat().sort(), addresses.sort());
    },
  ],
  [
    'sends nothing that could not be handed over in time, and takes it for no sign of trouble',
    [],
    async ({ transport, server, mails, arrived }) => {
      let release: (() => void) | undefined;
      await server.behave({ does: 'accept', after: new Promise<void>((resolve) => (release = resolve)) });
      const taken = Array.from({ length: transport.maxConnections }, () => send(transport, { to: [ANN] }));
      await arrived(taken.length);
      const late = transport.send(await mailOf({ to: [BOB] }), { ...options(transport.lanes[0]), handoverWithin: 20 });
      const ended = late.catch((error: unknown) => error);
      // What does not wait for a place, or knows no such limit, hands it over.
      await Promise.race([ended, arrived(taken.length + 1), new Promise((resolve) => setTimeout(resolve, 500))]);
      release?.();
      await Promise.all(taken);
      if (recipients(mails()).flat().includes(BOB)) return void (await late);
      const { outcome, permanent, phase } = await failureOf(late);
      assert.deepEqual({ outcome, permanent, phase }, { outcome: 'not-sent', permanent: false, phase: 'queue' });
    },
  ],
  [
    'finds that the server can be used',
    [],
    async ({ transport, mails }) => {
      await transport.verify(new AbortController().signal);
      assert.deepEqual(mails(), [], 'a check sends nothing');
    },
  ],
  [
    'lets what is in flight finish when it closes, and then sends nothing',
    [],
    async ({ transport, server, mails, arrived }) => {
      let release: (() => void) | undefined;
      await server.behave({ does: 'accept', after: new Promise<void>((resolve) => (release = resolve)) });
      const sending = send(transport, { to: [ANN] });
      await arrived(1);
      const closing = transport.close(60_000);
      release?.();
      assert.deepEqual((await sending).accepted, [ANN]);
      await closing;
      assert.equal((await failureOf(send(transport, { to: [BOB] }))).outcome, 'not-sent');
      assert.deepEqual(recipients(mails()), [[ANN]]);
    },
  ],
  [
    'does not wait for ever when it closes',
    ['say-nothing'],
    async ({ transport, server, arrived }) => {
      await server.behave({ does: 'say-nothing' });
      const sending = refused(send(transport, { to: [ANN] }), 'unknown');
      await Promise.race([arrived(1), sending]);
      await transport.close(0);
      await sending;
    },
  ],
];
