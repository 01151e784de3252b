/** Lets holders in up to a number of places, the others in the order in which they came. */
export class Semaphore {
  private readonly waiting: { places: number; resolve: () => void }[] = [];
  private free: number;

  constructor(private readonly size: number) {
    this.free = size;
  }

  /** Nobody else can come in for now. */
  get full(): boolean {
    return this.free === 0 || this.waiting.length > 0;
  }

  /**
   * Resolves to the function that leaves again; call it once.
   *
   * @param places that the holder takes; no more than there are
   */
  async enter(places = 1): Promise<() => void> {
    const taken = Math.min(places, this.size);
    if (this.waiting.length === 0 && this.free >= taken) this.free -= taken;
    else await new Promise<void>((resolve) => this.waiting.push({ places: taken, resolve }));
    return () => this.leave(taken);
  }

  private leave(places: number): void {
    this.free += places;
    for (let [next] = this.waiting; next && next.places <= this.free; [next] = this.waiting) {
      this.waiting.shift();
      this.free -= next.places;
      next.resolve();
    }
  }
}
