import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { splitMessageId } from '../../src/message/ids.js';
import type { Batch } from '../../src/queue/batch.js';
import { startMail, type MailApp } from '../support/app.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from '../support/smtp-server.js';
import { parse } from './options.js';

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = provider.getTracer('shop');

let smtp: TestSmtpServer;
let app: MailApp;
let redis: string;
let refuse: (address: string) => Refusal | undefined = () => undefined;

beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  smtp = await startSmtpServer({ onRcpt: (address) => refuse(address) });
  redis = (await startRedis()).url;
  const busy = await startSmtpServer({ onRcpt: () => ({ code: 451, text: '4.3.2 later' }) });
  app = await startMail({
    region: 'here',
    transports: [
      { name: 'busy', url: busy.url, region: 'here', lanes: ['priority'] },
      { name: 'main', url: smtp.url },
    ],
    queue: { connection: redis, encryptionKey: randomBytes(32).toString('base64') },
    tracing: provider,
  });
});

afterEach(() => {
  exporter.reset();
  refuse = () => undefined;
});

/** Runs work as a request's handler does, in a span of the application's own. */
function handler<T>(work: () => Promise<T>): Promise<T> {
  return tracer.startActiveSpan('POST /orders', async (span) => {
    try {
      return await work();
    } finally {
      span.end();
    }
  });
}

const named = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);
const only = (name: string): ReadableSpan => {
  expect(named(name).map((span) => span.name)).toEqual([name]);
  return named(name)[0]!;
};
const idOf = (span: ReadableSpan | undefined) => span?.spanContext().spanId;
const parentOf = (span: ReadableSpan | undefined) => span?.parentSpanContext?.spanId;
const linksOf = (span: ReadableSpan) => span.links.map((link) => link.context.spanId);
/** Until a worker has let go of the batch, whose span is the last to end. */
const batchEnds = (batches = 1) => eventually(() => expect(named('mail batch')).toHaveLength(batches));
const inOneTrace = () => new Set(exporter.getFinishedSpans().map((span) => span.spanContext().traceId)).size === 1;

describe('traces', () => {
  it('lead from the handler through send() and the queue to the answer of the mail server', async () => {
    const receipt = await handler(() =>
      app.mail.send({ lane: 'bulk', to: 'ann@x.test', subject: 'secret', text: 'x' }),
    );
    await batchEnds();
    const [send, flush, batch] = [only('mail send'), only('mail flush'), only('mail batch')];
    const [deliver, attempt] = [only('mail deliver'), only('mail attempt')];
    expect(inOneTrace()).toBe(true);
    expect(parentOf(send)).toBe(idOf(only('POST /orders')));
    expect([flush, batch, deliver].map(parentOf)).toEqual(Array(3).fill(idOf(send)));
    expect(linksOf(deliver)).toEqual([idOf(batch)]);
    expect(parentOf(attempt)).toBe(idOf(deliver));
    expect([send, flush, batch, deliver, attempt].map(({ kind }) => kind)).toEqual([
      SpanKind.PRODUCER,
      SpanKind.CLIENT,
      SpanKind.CONSUMER,
      SpanKind.INTERNAL,
      SpanKind.CLIENT,
    ]);
    expect(send.attributes).toEqual({
      'messaging.operation.type': 'send',
      'messaging.operation.name': 'send',
      'messaging.message.id': receipt.id,
      'mail.lane': 'bulk',
      'mail.status': 'queued',
    });
    expect(flush.attributes).toMatchObject({
      'messaging.destination.name': 'mail',
      'messaging.batch.message_count': 1,
    });
    expect(batch.attributes).toMatchObject({ 'messaging.system': 'bullmq', 'mail.batch.state': 'done' });
    expect(deliver.attributes).toMatchObject({ 'messaging.message.id': receipt.id, 'mail.transport': 'main' });
    expect(attempt.attributes).toEqual({
      'mail.transport': 'main',
      'mail.lane': 'bulk',
      'mail.outcome': 'accepted',
      'mail.smtp.reply_code': 250,
      'server.address': '127.0.0.1',
      'server.port': smtp.port,
    });
  });

  it('put each mail of a batch into the trace of who sent it, and link the batch to all of them', async () => {
    const send = (to: string) => handler(() => app.mail.send({ lane: 'bulk', to, subject: 'x', text: 'x' }));
    await app.mail.pause();
    await Promise.all([send('ann@x.test'), send('bob@x.test')]);
    await app.mail.resume();
    await batchEnds();
    const sends = named('mail send');
    const batch = only('mail batch');
    expect(batch.parentSpanContext).toBeUndefined();
    expect(linksOf(batch).sort()).toEqual(sends.map(idOf).sort());
    expect(named('mail deliver').map(parentOf).sort()).toEqual(sends.map(idOf).sort());
    const flush = only('mail flush');
    expect([parentOf(flush), ...linksOf(flush)].sort()).toEqual(sends.map(idOf).sort());
  });

  it('keep a campaign together', async () => {
    const recipients = [{ to: 'ann@x.test' }, { to: 'bob@x.test' }];
    await handler(() => app.mail.sendBulk({ id: 'news', subject: 'x', text: 'x', recipients }));
    await batchEnds();
    expect(inOneTrace()).toBe(true);
    const send = only('mail send');
    expect(send.attributes).toMatchObject({ 'mail.campaign.id': 'news', 'messaging.batch.message_count': 2 });
    expect([...named('mail flush'), only('mail batch'), ...named('mail deliver')].map(parentOf)).toEqual(
      Array(named('mail flush').length + 3).fill(idOf(send)),
    );
  });

  it('show each transport that a priority mail tried', async () => {
    await handler(() => app.mail.send({ to: 'ann@x.test', subject: 'x', text: 'x' }));
    const send = only('mail send');
    expect(parentOf(send)).toBe(idOf(only('POST /orders')));
    expect(send).toMatchObject({
      kind: SpanKind.CLIENT,
      attributes: { 'mail.status': 'sent', 'mail.transport': 'main' },
    });
    const attempts = named('mail attempt');
    expect(attempts.map(parentOf)).toEqual([idOf(send), idOf(send)]);
    const busy = { code: SpanStatusCode.ERROR, message: 'busy' };
    expect(attempts.map(({ status }) => status)).toEqual([busy, { code: SpanStatusCode.UNSET }]);
    expect(attempts.map(({ attributes }) => attributes)).toMatchObject([
      {
        'mail.transport': 'busy',
        'mail.outcome': 'not-sent',
        'mail.phase': 'rcpt',
        'mail.smtp.reply_code': 451,
        'error.type': 'busy',
      },
      { 'mail.transport': 'main', 'mail.smtp.reply_code': 250 },
    ]);
  });

  it.each(['priority', 'bulk'] as const)('tell a failure on the %s lane, and nobody’s address', async (lane) => {
    refuse = (address) => ({ code: 550, text: `5.1.1 <${address}> is no user here` });
    const sent = app.mail.send({ lane, to: 'gone@x.test', subject: 'secret', text: 'x' });
    if (lane === 'priority') await expect(sent).rejects.toThrow('is no user here');
    else await Promise.all([sent, batchEnds()]);
    const failed = { code: SpanStatusCode.ERROR, message: 'recipient-refused' };
    expect(only(lane === 'priority' ? 'mail send' : 'mail deliver').status).toEqual(failed);
    const attempt = named('mail attempt').at(-1)!;
    expect(attempt.status).toEqual(failed);
    expect(attempt.attributes).toMatchObject({ 'mail.smtp.reply_code': 550, 'mail.smtp.enhanced_code': '5.1.1' });
    const told = exporter
      .getFinishedSpans()
      .map(({ name, attributes, status, events }) => ({ name, attributes, status, events }));
    expect(JSON.stringify(told)).not.toMatch(/gone|secret|x\.test/);
  });

  it('tell what is wrong with an invalid mail', async () => {
    await expect(app.mail.send({ to: 'nobody', subject: 'x' })).rejects.toThrow();
    expect(only('mail send').status).toEqual({ code: SpanStatusCode.ERROR, message: 'INVALID' });
  });
});

describe('the tracing option', () => {
  const message = { lane: 'bulk', to: 'ann@x.test', subject: 'x', text: 'x' } as const;
  const sentBy = async (tracing: boolean): Promise<Batch> => {
    const queue = { connection: redis, worker: false } as const;
    const other = await startMail({ queue, tracing });
    const { id } = await other.mail.send(message);
    const job = await other.context.get<Queue>(getQueueToken('mail')).getJob(splitMessageId(id)!.batch);
    return job!.data as Batch;
  };

  it('makes no span and carries nothing when it is off', async () => {
    await app.mail.pause();
    expect((await sentBy(false)).items).toEqual([{ to: expect.any(Array) as unknown[], subject: 'x', text: 'x' }]);
    expect(named('mail send')).toEqual([]);
  });

  it('takes the provider that the application has registered, and lives without one', async () => {
    expect((await sentBy(true)).items[0]).not.toHaveProperty('trace');
    trace.setGlobalTracerProvider(provider);
    atEnd(() => trace.disable());
    const batch = await sentBy(true);
    const { traceId, spanId } = only('mail send').spanContext();
    expect(batch.items[0]!.trace).toBe(`00-${traceId}-${spanId}-01`);
  });

  it('is checked at boot', () => {
    const options = { transports: [{ name: 'main', url: smtp.url }], queue: false as const };
    expect(() => parse({ ...options, tracing: 'yes' as unknown as true })).toThrow(MailConfigError);
    expect(() => parse({ ...options, tracing: {} as unknown as true })).toThrow(/The mail option tracing is an object/);
    expect(parse({ ...options, tracing: false }).tracing).toBeUndefined();
  });
});
