import { WaitingLine } from './waiting-line.js';

/** So many at once; the others wait in line. */
export class Places {
  private taken = 0;
  private readonly line = new WaitingLine<void>();

  constructor(private readonly size: number) {}

  /**
   * @param within milliseconds
   * @returns gives the place back
   * @throws Error it had to wait for too long, or its signal has aborted
   */
  async take(signal: AbortSignal, within: number | undefined): Promise<() => void> {
    if (this.taken < this.size) this.taken++;
    else {
      const ignored = (): void => undefined;
      await this.line.wait({ signal, within, onHalf: ignored, onLeave: ignored });
    }
    return () => {
      // Whoever waits takes the place over.
      if (!this.line.serve()) this.taken--;
    };
  }

  dismiss(error: Error): void {
    this.line.dismiss(error);
  }
}
