import { randomBytes } from 'node:crypto';

/** Nothing in it can lead out of a folder or a prefix. */
const ALLOWED = /^[A-Za-z0-9_-]{1,200}$/;
const BLOB = /^(?<queue>[A-Za-z0-9]+)-(?<hash>(?:sealed-)?[0-9a-f]{64})-[a-z0-9]+$/;

/** @throws Error for a name that a store does not take */
export function checkName(name: string): void {
  if (!ALLOWED.test(name)) throw new Error(`${JSON.stringify(name.slice(0, 200))} is no blob's name`);
}

/** A name that no blob had before, also not one with the same content. @param queue the id of the queue that it belongs to */
export function newBlobName(queue: string, hash: string): string {
  return `${queue}-${hash}-${randomBytes(5).toString('hex')}`;
}

/** Undefined for what is no blob's name. */
export function readBlobName(name: string): { queue: string; hash: string } | undefined {
  const { queue, hash } = BLOB.exec(name)?.groups ?? {};
  return queue === undefined || hash === undefined ? undefined : { queue, hash };
}
