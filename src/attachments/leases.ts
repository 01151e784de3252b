import { putNewest } from '../newest.js';
import type { Fields, Records } from '../store/records.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** The end of a lease that has none. */
const EVER = 'ever';
/** Set once, and never taken back: nobody new may rely on the blob. */
const CONDEMNED = 'condemned';
/** That a blob was condemned is remembered for longer than any process stands still between two steps. */
const REMEMBERED_FOR = 30 * DAY;
const MAX_KNOWN = 10_000;

/** Of a blob: until when somebody needs it, and whether it is condemned. */
export interface Lease {
  until: number;
  /** When it was condemned last, milliseconds since the epoch. */
  condemnedAt?: number;
}

/**
 * Until when blobs are needed, for all processes.
 *
 * A lease is a field named by the day on which it ends, and fields are only added: whoever needs the blob for less long takes
 * nothing from the others. Whoever renews it writes its day first and then looks whether the blob is condemned; whoever condemns
 * it writes that first and then looks for days. One of the two sees the other, however long either stood still in between, and
 * no clocks are compared for it.
 */
export class Leases {
  /** Ends of leases that this process wrote or saw, of blobs that were not condemned then: these stay as long. */
  private readonly known = new Map<string, number>();

  constructor(private readonly records: Records) {}

  /** Whether this process knows of a lease that is long enough. */
  holds(blob: string, until: number): boolean {
    return (this.known.get(blob) ?? 0) >= until;
  }

  /**
   * Makes sure that the blobs are there until then.
   *
   * @returns those that are condemned, and on which this process did not rely before: it must not now
   */
  async renew(wanted: ReadonlyMap<string, number>): Promise<Set<string>> {
    const short = [...wanted].filter(([blob, until]) => !this.holds(blob, until));
    if (short.length === 0) return new Set();
    await this.records.merge(short.map(([blob, until]) => ({ key: keyOf(blob), fields: { [fieldOf(until)]: '1' } })));
    const blobs = short.map(([blob]) => blob);
    const leases = await this.get(blobs);
    const condemned = new Set<string>();
    for (const [blob, lease] of leases) {
      // Whoever condemned it saw the lease that this process had before, and has to let that end first.
      const relied = this.holds(blob, Date.now() + HOUR);
      if (lease.condemnedAt === undefined || relied) putNewest(this.known, blob, lease.until, MAX_KNOWN);
      else condemned.add(blob);
    }
    return condemned;
  }

  /** Of those that were ever leased. */
  async get(blobs: readonly string[]): Promise<Map<string, Lease>> {
    const found = await this.records.get(blobs.map(keyOf));
    const leases = new Map<string, Lease>();
    for (const [index, fields] of found.entries()) if (fields) leases.set(blobs[index]!, read(fields));
    return leases;
  }

  /**
   * From now on nobody new relies on the blob.
   *
   * @param before it may go if its lease ended before this
   * @returns whether it may go; if not, it stays for those who relied on it before
   */
  async condemn(blob: string, before: number, now: number): Promise<boolean> {
    await this.records.merge([{ key: keyOf(blob), fields: { [CONDEMNED]: String(now) } }]);
    const lease = (await this.get([blob])).get(blob);
    return lease !== undefined && lease.until < before;
  }

  /** Whether it tells nothing any more, the blob being gone. */
  isSpent({ until, condemnedAt }: Lease, now: number): boolean {
    return now - (condemnedAt ?? until) > REMEMBERED_FOR && now - until > REMEMBERED_FOR;
  }

  async forget(blobs: readonly string[]): Promise<void> {
    await this.records.delete(blobs.map(keyOf));
  }

  /** Of all blobs that are leased, or were. */
  async *blobs(): AsyncIterable<string> {
    for await (const key of this.records.scan(PREFIX)) yield key.slice(PREFIX.length);
  }
}

const PREFIX = 'attachments/lease/';

function keyOf(blob: string): string {
  return PREFIX + blob;
}

function fieldOf(until: number): string {
  return Number.isFinite(until) ? String(Math.ceil(until / DAY)) : EVER;
}

function read(fields: Fields): Lease {
  const { [CONDEMNED]: condemned, [EVER]: ever, ...days } = fields;
  const last = Object.keys(days).reduce((max, day) => Math.max(max, Number(day)), 0);
  return {
    until: ever === undefined ? last * DAY : Infinity,
    ...(condemned === undefined ? {} : { condemnedAt: Number(condemned) }),
  };
}
