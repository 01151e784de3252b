import {
  PostmarkTransport,
  ResendTransport,
  SendGridTransport,
  SmtpTransport as NestSmtpTransport,
} from '@nestjs/mail';
import { createTransport } from 'nodemailer';
import SMTPPool from 'nodemailer/lib/smtp-pool';
import { AssertionError } from 'node:assert';
import { describe, expect, it } from 'vitest';
import { LANES } from '../../src/message/message.js';
import { ForeignTransport } from '../../src/transport/adapters/foreign.js';
import { NestMailCarrier } from '../../src/transport/adapters/nest-mail.js';
import { NodemailerCarrier } from '../../src/transport/adapters/nodemailer.js';
import type { Carrier } from '../../src/transport/adapters/carrier.js';
import { SmtpTransport } from '../../src/transport/smtp/transport.js';
import { transportContract, type TransportContractOptions } from '../../src/testing/transport-contract.js';
import { TransportError, type Acceptance, type Outgoing, type SendOptions } from '../../src/transport/transport.js';
import { ContractSmtp } from '../support/contract-smtp.js';
import { startProvider } from '../support/provider-stubs.js';
import { smtpOptions } from './smtp.js';

const foreign = (carrier: Carrier): ForeignTransport =>
  new ForeignTransport({ name: 'main', lanes: LANES, maxConnections: 5, timeout: 60_000, owned: true }, carrier);

const smtp = await ContractSmtp.start();
const resend = await startProvider('resend');
const postmark = await startProvider('postmark');
const sendgrid = await startProvider('sendgrid');
const apiKey = 'provider-key';
/** An API takes a message for all or for none. */
const cannot = ['refuse-some'] as const;

const TRANSPORTS: Record<string, TransportContractOptions> = {
  SMTP: { server: smtp, create: () => new SmtpTransport(smtpOptions(smtp.url)) },
  'nodemailer, a connection for each message': {
    server: smtp,
    create: () => foreign(new NodemailerCarrier(createTransport({ url: smtp.url }))),
  },
  'nodemailer, a pool as a plugin': {
    server: smtp,
    create: () => foreign(new NodemailerCarrier(new SMTPPool({ url: smtp.url }))),
  },
  '@nestjs/mail, SMTP': {
    server: smtp,
    create: () => foreign(new NestMailCarrier(new NestSmtpTransport({ url: smtp.url, pool: true }))),
  },
  '@nestjs/mail, Resend': {
    server: resend,
    cannot,
    create: () => foreign(new NestMailCarrier(new ResendTransport({ apiKey, baseUrl: resend.url }))),
  },
  '@nestjs/mail, Postmark': {
    server: postmark,
    cannot,
    create: () => foreign(new NestMailCarrier(new PostmarkTransport({ serverToken: apiKey, baseUrl: postmark.url }))),
  },
  '@nestjs/mail, SendGrid': {
    server: sendgrid,
    cannot,
    create: () => foreign(new NestMailCarrier(new SendGridTransport({ apiKey, baseUrl: sendgrid.url }))),
  },
};

describe.each(Object.entries(TRANSPORTS))('%s', (_, options) => {
  it.each(transportContract(options))('$name', ({ run }) => run());
});

/** One that keeps all of it but this. */
class Spoilt extends SmtpTransport {
  constructor(private readonly spoil: (sending: Promise<Acceptance>, outgoing: Outgoing) => Promise<Acceptance>) {
    super(smtpOptions(smtp.url));
  }

  override send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance> {
    return this.spoil(super.send(outgoing, options), outgoing);
  }
}

describe('the suite finds a transport that', () => {
  const asAway = ({ reply }: TransportError): never => {
    throw new TransportError('main', {
      phase: 'connect',
      scope: 'transport',
      reply,
      permanent: false,
      outcome: 'not-sent',
    });
  };
  const asNotSent = ({ phase, scope, reply }: TransportError): never => {
    throw new TransportError('main', { phase, scope, reply, permanent: false, outcome: 'not-sent', kind: 'down' });
  };

  it.each<[string, string, ConstructorParameters<typeof Spoilt>[0]]>([
    [
      'says that all were served',
      'tells who was refused while others were served',
      async (sending, { envelope }) => ({ ...(await sending), accepted: envelope.to, rejections: [] }),
    ],
    [
      'throws anything',
      'tells of a message that is refused',
      (sending) => sending.catch(() => Promise.reject(new Error('No'))),
    ],
    [
      'takes silence for a failure',
      'says that it does not know when no answer comes after the message',
      (sending) => sending.catch(asNotSent),
    ],
    [
      'takes a wait for its places for a server that is away',
      'sends nothing that could not be handed over in time, and takes it for no sign of trouble',
      (sending) => sending.catch(asAway),
    ],
    [
      'keeps its answer to itself',
      'sends to one recipient, and tells what the server answered',
      async (sending) => ({ ...(await sending), response: '' }),
    ],
  ])('%s', async (_, name, spoil) => {
    const checks = transportContract({ server: smtp, create: () => new Spoilt(spoil) });
    await expect(checks.find((check) => check.name === name)!.run()).rejects.toThrow(AssertionError);
  });
});
