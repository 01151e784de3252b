import { createHash } from 'node:crypto';

const INITIAL_CAPACITY = 1024;
const MAX_LOAD = 0.6;
/** So many keys are kept as they are, which takes a tenth of the time. */
const FEW = 20_000;

/**
 * A set of strings. Of many it remembers 128 bits each: 27 to 53 bytes a key, where a Set of strings takes a hundred and
 * more. Two different keys meet with a probability that no campaign comes near.
 */
export class KeySet {
  private few: Set<string> | undefined = new Set();
  private slots = new BigUint64Array(INITIAL_CAPACITY * 2);
  private used = 0;

  get size(): number {
    return this.few?.size ?? this.used;
  }

  /** True when the key was not in it. */
  add(key: string): boolean {
    if (!this.few) return this.addHash(key);
    const { size } = this.few;
    if (this.few.add(key).size === size) return false;
    if (size < FEW) return true;
    const keys = this.few;
    this.few = undefined;
    for (const known of keys) this.addHash(known);
    return true;
  }

  private addHash(key: string): boolean {
    if (this.used >= (this.slots.length / 2) * MAX_LOAD) this.grow();
    const digest = createHash('sha1').update(key).digest();
    // A zero marks a free slot.
    const high = digest.readBigUInt64LE(0) | 1n;
    const low = digest.readBigUInt64LE(8);
    const added = insert(this.slots, high, low);
    if (added) this.used++;
    return added;
  }

  private grow(): void {
    const larger = new BigUint64Array(this.slots.length * 2);
    for (let at = 0; at < this.slots.length; at += 2) {
      if (this.slots[at] !== 0n) insert(larger, this.slots[at]!, this.slots[at + 1]!);
    }
    this.slots = larger;
  }
}

function insert(slots: BigUint64Array, high: bigint, low: bigint): boolean {
  const mask = slots.length / 2 - 1;
  let at = (Number(low & 0xffffffffn) & mask) * 2;
  while (slots[at] !== 0n) {
    if (slots[at] === high && slots[at + 1] === low) return false;
    at = (at + 2) % slots.length;
  }
  slots[at] = high;
  slots[at + 1] = low;
  return true;
}
