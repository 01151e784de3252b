import type { Lane } from '../../message/message.js';
import type { DkimSigner } from '../../mime/dkim.js';

/** An access key, as the AWS SDK takes it. */
export interface SesCredentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
  expiration?: Date;
}

/** What this package asks of an `SESv2Client` of `@aws-sdk/client-sesv2`. */
export interface SesClient {
  send(command: never, options?: never): Promise<unknown>;
  readonly config: object;
}

/** One SES account in one region, checked. Times are milliseconds. */
export interface SesTransportOptions {
  name: string;
  /** Where it is, for the order of transports. */
  region?: string;
  lanes: readonly Lane[];
  /** Requests at once, per lane and process. */
  maxConnections: number;
  /** DNS, TCP and TLS together. */
  connectTimeout: number;
  /** Silence of the server from the first byte of a request to the end of its answer. */
  timeout: number;
  /** The AWS region. Default: the SDK's own, such as `AWS_REGION`. */
  awsRegion?: string;
  endpoint?: string;
  /** Default: the SDK's chain. */
  credentials?: SesCredentials | (() => Promise<SesCredentials>);
  /** In place of one that is made of the other options. It is not closed. */
  client?: SesClient;
  configurationSet?: string;
  tags: Readonly<Record<string, string>>;
  /** The rate of the account is asked for, and kept to. */
  followsRate: boolean;
  dkim?: DkimSigner;
}
