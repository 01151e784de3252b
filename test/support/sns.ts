import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import type { FeedbackRequest } from '../../src/feedback/source.js';
import { selfSignedCertificate, type Certificate } from './certificate.js';

export const TOPIC = 'arn:aws:sns:eu-west-1:123456789012:mail';
export const HOST = 'https://sns.eu-west-1.amazonaws.com';
export const CERTIFICATE = `${HOST}/SimpleNotificationService-0123456789abcdef.pem`;

const certificates = new Map<string, Certificate>();

/** A certificate such as SNS signs with, made once. */
export function snsCertificate(name = 'sns', valid?: readonly [number, number]): Certificate {
  const known = certificates.get(name) ?? selfSignedCertificate({ key: 'rsa', ...(valid ? { valid } : {}) });
  certificates.set(name, known);
  return known;
}

export type Posted = Record<string, string | undefined>;

const SIGNED = ['Message', 'MessageId', 'Subject', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'];

/** A message of SNS as it is posted, signed with the key of a certificate. */
export function snsMessage(message: unknown, fields: Posted = {}, { key } = snsCertificate()): Posted {
  const posted: Posted = {
    Type: 'Notification',
    MessageId: randomUUID(),
    TopicArn: TOPIC,
    Message: typeof message === 'string' ? message : JSON.stringify(message),
    Timestamp: new Date().toISOString(),
    SignatureVersion: '2',
    SigningCertURL: CERTIFICATE,
    ...fields,
  };
  const names = SIGNED.filter((name) => posted[name] !== undefined);
  const text = names.map((name) => `${name}\n${posted[name]}\n`).join('');
  const hash = posted['SignatureVersion'] === '1' ? 'sha1' : 'sha256';
  return { ...posted, Signature: sign(hash, Buffer.from(text), createPrivateKey(key)).toString('base64') };
}

/** The message that asks to confirm a subscription. */
export function snsConfirmation(fields: Posted = {}): Posted {
  const Token = 'a1b2c3';
  const query = new URLSearchParams({ Action: 'ConfirmSubscription', TopicArn: TOPIC, Token });
  return snsMessage('You have chosen to subscribe to the topic.', {
    Type: 'SubscriptionConfirmation',
    Token,
    SubscribeURL: `${HOST}/?${query.toString()}`,
    ...fields,
  });
}

export function requestOf(posted: Posted | string, headers: Record<string, string> = {}): FeedbackRequest {
  return {
    headers: { 'content-type': 'text/plain; charset=UTF-8', ...headers },
    body: Buffer.from(typeof posted === 'string' ? posted : JSON.stringify(posted)),
    now: new Date(),
  };
}
