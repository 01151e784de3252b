/** A place in an S3-compatible object store. */
export interface S3Options {
  bucket: string;
  /** Before every name, without a slash at its ends; may be empty. */
  prefix: string;
  /** Default: that of the AWS SDK's own configuration. */
  region?: string;
  /** Of another provider than AWS, such as `https://s3.example.com`. */
  endpoint?: string;
  /** The bucket stands in the path in place of the host's name. Default false. */
  forcePathStyle?: boolean;
  /** Default: those that the AWS SDK finds by itself, such as the machine's role. */
  credentials?: S3Credentials;
}

export interface S3Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}
