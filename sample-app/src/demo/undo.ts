/** What has to be undone at the end, the last first. */
export class Undo {
  private readonly steps: (() => Promise<unknown>)[] = [];
  private ending: Promise<never> | undefined;

  get begun(): boolean {
    return this.ending !== undefined;
  }

  add(step: () => Promise<unknown>): void {
    this.steps.push(step);
  }

  exit(code: number | string): Promise<never> {
    this.ending ??= this.all().then(() => process.exit(code));
    return this.ending;
  }

  private async all(): Promise<void> {
    for (let step = this.steps.pop(); step; step = this.steps.pop()) {
      await step().catch((error: unknown) => console.error(error));
    }
  }
}
