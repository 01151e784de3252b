import { reasonOf } from '../errors.js';
import { inOrder } from '../transport/dispatch.js';
import type { Routes } from '../transport/route.js';
import type { Preparation } from '../delivery/preparation.js';
import { blobsOf, type Batch } from './batch.js';
import type { Supplies } from './batch-work.js';
import type { Blobs } from './blobs.js';

const NO_SECRET = 'This process has no mail option unsubscribe.secret, which the links of the mail are made with';

/** Gets what a batch needs beside itself. */
export class Supplier {
  constructor(
    private readonly blobs: Blobs,
    private readonly routes: Routes,
    private readonly preparation: Preparation,
  ) {}

  /** Whoever takes the batch up, if only to put it off, makes what it needs stay. */
  async renew(batch: Batch, payload?: string): Promise<void> {
    const blobs = blobsOf(batch, payload);
    if (blobs.length > 0) await this.blobs.renew(blobs);
  }

  /** Of a batch that cannot be read nobody knows what it needs, so everything stays. */
  async holdAll(): Promise<void> {
    await this.blobs.holdAll();
  }

  async of(batch: Batch): Promise<Supplies> {
    const { blobs, blocked } = await this.blobs.get(batch.shared.attachments);
    const { preparation } = this;
    const nothing = { blobs, preparation, dispatch: inOrder([]) };
    if (blocked !== undefined) return { ...nothing, blocked };
    const { source } = batch.shared;
    const missing = source && (await preparation.missing(source));
    if (missing !== undefined) return { ...nothing, blocked: missing };
    if (batch.shared.unsubscribe && !preparation.links) return { ...nothing, blocked: NO_SECRET };
    try {
      // What came over from the priority lane goes by that lane's transports.
      const lane = batch.urgency === 'overflow' ? 'priority' : 'bulk';
      return { blobs, preparation, dispatch: await this.routes.dispatch(lane, batch.transport) };
    } catch (error) {
      // Another release of the application may know that transport.
      return { ...nothing, blocked: reasonOf(error) };
    }
  }
}

/** About what each message of the batch has, its own values not counted. */
export function bytesOf({ shared, items }: Batch, { blobs }: Supplies): number {
  const [first] = items;
  const { text = first?.text ?? '', html = first?.html ?? '' } = shared;
  return shared.attachments.reduce((sum, { blob }) => sum + (blobs.get(blob)?.length ?? 0), text.length + html.length);
}
