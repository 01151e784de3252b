import { reasonOf } from '../errors.js';
import { inOrder } from '../transport/dispatch.js';
import type { Routes } from '../transport/route.js';
import type { Batch, Supplies } from './batch.js';
import type { Blobs } from './blobs.js';

/** Gets what a batch needs beside itself. */
export class Supplier {
  constructor(
    private readonly blobs: Blobs,
    private readonly routes: Routes,
  ) {}

  async of({ shared, transport, urgency }: Batch): Promise<Supplies> {
    const { blobs, blocked } = await this.blobs.get(shared.attachments);
    if (blocked !== undefined) return { blobs, dispatch: inOrder([]), blocked };
    try {
      // What came over from the priority lane goes by that lane's transports.
      return { blobs, dispatch: await this.routes.dispatch(urgency === 'overflow' ? 'priority' : 'bulk', transport) };
    } catch (error) {
      // Another release of the application may know that transport.
      return { blobs, dispatch: inOrder([]), blocked: reasonOf(error) };
    }
  }
}

/** About what each message of the batch has, its own values not counted. */
export function bytesOf({ shared, items }: Batch, { blobs }: Supplies): number {
  const [first] = items;
  const { text = first?.text ?? '', html = first?.html ?? '' } = shared;
  return shared.attachments.reduce((sum, { blob }) => sum + (blobs.get(blob)?.length ?? 0), text.length + html.length);
}
