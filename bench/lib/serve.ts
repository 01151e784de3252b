import { createInterface } from 'node:readline';

/** What a process can be asked to do, by name; arguments and results travel as JSON. */
export type Handlers = Record<string, (argument: never) => unknown>;

/** Marks the lines that answer; whatever else a process prints is for people. */
export const REPLY = 'reply ';

export type Reply = { result: unknown } | { error: string };

/** Answers what a `Remote` asks over standard input, until that ends. */
export function serve(handlers: Handlers): void {
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => {
    const [name, argument] = JSON.parse(line) as [string, never];
    void (async () => handlers[name]?.(argument))().then(
      (result) => answer({ result }),
      (error: unknown) => answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  // Whoever asked is gone.
  input.on('close', () => process.exit());
  answer({ result: undefined });
}

function answer(reply: Reply): void {
  process.stdout.write(`${REPLY}${JSON.stringify(reply)}\n`);
}
