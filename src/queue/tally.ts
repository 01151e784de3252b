import { LANES, type Lane } from '../message/message.js';

/** Recipients, each time that something happened to one of them. */
export interface MailCounts {
  /** Durably queued. */
  queued: number;
  /** Accepted by a provider. */
  sent: number;
  /** Given up. */
  failed: number;
  /** Put off by a server; the same recipient each time anew. */
  deferred: number;
  cancelled: number;
  /** Of the cancelled: those that the suppression list stopped. */
  suppressed: number;
  expired: number;
}

/** What went through one transport. */
export interface TransportStats extends Pick<MailCounts, 'sent' | 'failed' | 'deferred'> {
  /** Milliseconds that a delivery took on average until it was accepted. Undefined where none was. */
  latency?: number;
}

/** The place of each number in a row; between them the accepted messages and the milliseconds that they took. */
const PLACES = { queued: 0, sent: 1, failed: 2, deferred: 3, cancelled: 4, expired: 5, suppressed: 8 } as const;
const DELIVERED = 6;
const SPENT = 7;
const WIDTH = 9;
/** Transports of one lane that are told apart; there may be any number of tenants. */
const MAX_TRANSPORTS = 500;
const OTHERS = '(others)';

/** Numbers of one span of time, by lane and transport. */
export class Tally {
  private readonly rows: Record<Lane, Map<string, number[]>> = { priority: new Map(), bulk: new Map() };

  /** What `text()` gave. */
  static read(text: string): Tally {
    const tally = new Tally();
    const rows = JSON.parse(text) as [lane: Lane, transport: string, ...numbers: number[]][];
    for (const [lane, transport, ...numbers] of rows) tally.addRow(lane, transport, numbers);
    return tally;
  }

  /** @param transport '' where there is none */
  count(lane: Lane, what: keyof MailCounts, recipients: number, transport: string): void {
    this.row(lane, transport)[PLACES[what]]! += recipients;
  }

  /** One message was accepted after so many milliseconds. */
  delivered(lane: Lane, transport: string, duration: number): void {
    const row = this.row(lane, transport);
    row[DELIVERED]!++;
    row[SPENT]! += duration;
  }

  /** Adds what is asked for of the other one. */
  addAll(other: Tally, asked: { lane?: Lane; transport?: string } = {}): void {
    for (const lane of LANES) {
      if (asked.lane !== undefined && asked.lane !== lane) continue;
      for (const [transport, numbers] of other.rows[lane]) {
        if (asked.transport === undefined || asked.transport === transport) this.addRow(lane, transport, numbers);
      }
    }
  }

  counts(lane: Lane): MailCounts {
    const sum = (place: number): number => [...this.rows[lane].values()].reduce((total, row) => total + row[place]!, 0);
    return {
      queued: sum(PLACES.queued),
      sent: sum(PLACES.sent),
      failed: sum(PLACES.failed),
      deferred: sum(PLACES.deferred),
      cancelled: sum(PLACES.cancelled),
      suppressed: sum(PLACES.suppressed),
      expired: sum(PLACES.expired),
    };
  }

  transports(): Record<string, TransportStats> {
    const sums = new Map<string, number[]>();
    for (const lane of LANES) {
      for (const [transport, row] of this.rows[lane]) {
        const known = sums.get(transport);
        if (transport !== '') sums.set(transport, known ? known.map((number, place) => number + row[place]!) : row);
      }
    }
    return Object.fromEntries([...sums].map(([transport, row]) => [transport, statsOf(row)]));
  }

  text(): string {
    const rows = LANES.flatMap((lane) =>
      Array.from(this.rows[lane], ([transport, row]) => [lane, transport, ...row.map(Math.round)]),
    );
    return JSON.stringify(rows);
  }

  private addRow(lane: Lane, transport: string, numbers: readonly number[]): void {
    const row = this.row(lane, transport);
    for (let place = 0; place < WIDTH; place++) row[place]! += numbers[place] ?? 0;
  }

  private row(lane: Lane, transport: string): number[] {
    const rows = this.rows[lane];
    const known = rows.get(transport);
    if (known) return known;
    if (rows.size >= MAX_TRANSPORTS && transport !== OTHERS) return this.row(lane, OTHERS);
    const row = new Array<number>(WIDTH).fill(0);
    rows.set(transport, row);
    return row;
  }
}

function statsOf(row: readonly number[]): TransportStats {
  const delivered = row[DELIVERED]!;
  return {
    sent: row[PLACES.sent]!,
    failed: row[PLACES.failed]!,
    deferred: row[PLACES.deferred]!,
    ...(delivered > 0 ? { latency: Math.round((row[SPENT]! / delivered) * 10) / 10 } : {}),
  };
}
