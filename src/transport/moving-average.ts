/** How much the newest sample counts: ten of them outweigh all before. */
const WEIGHT = 0.2;

/** An exponentially weighted moving average; undefined before the first sample. */
export class MovingAverage {
  value: number | undefined;

  add(sample: number): void {
    this.value = this.value === undefined ? sample : this.value + WEIGHT * (sample - this.value);
  }
}
