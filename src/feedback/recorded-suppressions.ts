import { randomBytes } from 'node:crypto';
import { MailConfigError } from '../errors.js';
import { oneLine } from '../message/text.js';
import type { Change, Fields, Records } from '../store/records.js';
import { lockedReason, type Sealer } from '../store/sealing.js';
import {
  gravest,
  isMeant,
  stops,
  suppressionKey,
  SUPPRESSION_REASONS,
  type SuppressedMail,
  type Suppression,
  type SuppressionFilter,
  type SuppressionList,
  type SuppressionReason,
  type SuppressionScope,
} from './suppression.js';

/** Tells how entries are named, and changes with each of them. Whoever has read it need not ask an empty list. */
export const SUPPRESSION_MARKER = 'suppression';

const PREFIX = 'suppressed/';
/** Entries of one write, and addresses of one read where all are listed. */
const CHUNK = 500;
/** Of the marker: another value whenever something was added or removed. */
const CHANGED = 'changed';
/** Of the marker: some entries are under their address. */
const PLAIN = 'plain';
/** Of the marker, before a key's id: some are under a name that this key makes. */
const BY_KEY = 'key ';

interface Stored {
  address: string;
  /** Milliseconds since the epoch. */
  since: number;
  note?: string;
}

/**
 * The list on the queue's own records: a record for each address, with a field for each scope and reason. Nothing has to
 * be read before something is added, and what is taken away leaves the other reasons there.
 *
 * Where entries are sealed they lie under a keyed hash of their address: with several keys, of an address's possible names those
 * are asked for that the marker tells of.
 */
export class RecordedSuppressions implements SuppressionList {
  constructor(
    private readonly records: Records,
    private readonly sealer: Sealer,
  ) {}

  async find(addresses: readonly string[], mail: SuppressedMail): Promise<Map<string, Suppression>> {
    const keys = this.keysOf(addresses, this.namings());
    const [marker, ...found] = await this.records.get([SUPPRESSION_MARKER, ...keys]);
    this.namingsIn(marker);
    return this.stopping(addresses, mail, keys, found);
  }

  /**
   * The same by a marker that was read before, which spares a store without entries the question.
   *
   * @throws MailConfigError some entries are sealed with a key that is not here
   */
  async findMarked(
    addresses: readonly string[],
    mail: SuppressedMail,
    marker: Fields | undefined,
  ): Promise<Map<string, Suppression>> {
    const namings = this.namingsIn(marker);
    if (namings.length === 0 || addresses.length === 0) return new Map();
    const keys = this.keysOf(addresses, namings);
    return this.stopping(addresses, mail, keys, await this.records.get(keys));
  }

  async get(address: string): Promise<Suppression[]> {
    const keys = this.keysOf([address], this.namings());
    const found = await this.records.get(keys);
    return keys.flatMap((key, index) => this.read(key, found[index], address));
  }

  async add(suppressions: readonly Suppression[]): Promise<void> {
    const [keyId] = this.sealer.keyIds;
    const naming = keyId === undefined ? PLAIN : BY_KEY + keyId;
    for (let from = 0; from < suppressions.length; from += CHUNK) {
      const changes = suppressions.slice(from, from + CHUNK).map((one) => this.changeOf(one, naming));
      await this.records.merge([
        ...changes,
        { key: SUPPRESSION_MARKER, fields: { [naming]: '1', [CHANGED]: stamp() } },
      ]);
    }
  }

  async remove(address: string, which: SuppressionFilter = {}): Promise<boolean> {
    const keys = this.keysOf([address], this.namings());
    const found = await this.records.get(keys);
    let removed = 0;
    for (const [index, key] of keys.entries()) {
      const fields = Object.keys(found[index] ?? {}).filter((field) => {
        const entry = readField(field);
        return entry && isMeant(entry, which);
      });
      if (fields.length > 0) removed += await this.records.unset(key, fields);
    }
    if (removed === 0) return false;
    await this.records.merge([{ key: SUPPRESSION_MARKER, fields: { [CHANGED]: stamp() } }]);
    return true;
  }

  async *list(): AsyncIterable<Suppression> {
    const [marker] = await this.records.get([SUPPRESSION_MARKER]);
    if (this.namingsIn(marker).length === 0) return;
    let keys: string[] = [];
    for await (const key of this.records.scan(PREFIX)) {
      if (keys.push(key) < CHUNK) continue;
      yield* await this.readAll(keys);
      keys = [];
    }
    if (keys.length > 0) yield* await this.readAll(keys);
  }

  /** @param keys as many of each address */
  private stopping(
    addresses: readonly string[],
    mail: SuppressedMail,
    keys: readonly string[],
    found: readonly (Fields | undefined)[],
  ): Map<string, Suppression> {
    const suppressed = new Map<string, Suppression>();
    const each = keys.length / addresses.length;
    for (const [index, fields] of found.entries()) {
      if (!fields) continue;
      const address = addresses[Math.floor(index / each)]!;
      const known = suppressed.get(address);
      const entries = this.read(keys[index]!, fields, address).filter((entry) => stops(entry, mail));
      const why = gravest(known ? [known, ...entries] : entries);
      if (why) suppressed.set(address, why);
    }
    return suppressed;
  }

  /** @throws MailConfigError some entries are sealed with a key that is not here */
  private namingsIn(marker: Fields | undefined): string[] {
    const namings = Object.keys(marker ?? {}).filter((field) => field !== CHANGED);
    for (const naming of namings) {
      const id = naming.slice(BY_KEY.length);
      if (naming !== PLAIN && !this.sealer.keyIds.includes(id)) {
        throw new MailConfigError(lockedReason('The suppression list', id));
      }
    }
    return namings;
  }

  /** All ways in which an entry may be named here. */
  private namings(): string[] {
    return [PLAIN, ...this.sealer.keyIds.map((id) => BY_KEY + id)];
  }

  private keysOf(addresses: readonly string[], namings: readonly string[]): string[] {
    return addresses.flatMap((address) => {
      const key = suppressionKey(address);
      return namings.map((naming) => this.keyOf(key, naming));
    });
  }

  private keyOf(key: string, naming: string): string {
    if (naming === PLAIN) return `${PREFIX}${key}`;
    return `${PREFIX}sealed-${this.sealer.nameOf(Buffer.from(key), naming.slice(BY_KEY.length))}`;
  }

  private changeOf({ address, scope, reason, since, note }: Suppression, naming: string): Change {
    const key = this.keyOf(suppressionKey(address), naming);
    const field = `${scope} ${reason}`;
    const stored: Stored = { address, since: since.getTime(), ...(note ? { note: oneLine(note) } : {}) };
    return { key, fields: { [field]: this.sealer.write(stored, placeOf(key, field)) } };
  }

  private async readAll(keys: readonly string[]): Promise<Suppression[]> {
    const found = await this.records.get(keys);
    return keys.flatMap((key, index) => this.read(key, found[index]));
  }

  /** @param address of which it is, where that is known: one whose words cannot be opened is suppressed all the same */
  private read(key: string, fields: Fields | undefined, address?: string): Suppression[] {
    return Object.entries(fields ?? {}).flatMap(([field, text]) => {
      const what = readField(field);
      if (!what) return [];
      const stored = this.sealer.read(text, placeOf(key, field)) as Stored | undefined;
      if (stored) {
        const { note, since } = stored;
        return [{ ...what, address: stored.address, since: new Date(since), ...(note === undefined ? {} : { note }) }];
      }
      return address === undefined ? [] : [{ ...what, address, since: new Date(0) }];
    });
  }
}

/** Whether anything was added or removed between the two. */
export function isSameMarker(one: Fields | undefined, other: Fields | undefined): boolean {
  return one?.[CHANGED] === other?.[CHANGED];
}

function readField(field: string): { scope: SuppressionScope; reason: SuppressionReason } | undefined {
  const at = field.lastIndexOf(' ');
  const reason = SUPPRESSION_REASONS.find((known) => known === field.slice(at + 1));
  return reason && { scope: field.slice(0, at) as SuppressionScope, reason };
}

function placeOf(key: string, field: string): string {
  return `${key}/${field}`;
}

function stamp(): string {
  return randomBytes(9).toString('base64url');
}
