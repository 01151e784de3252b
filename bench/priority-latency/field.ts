import { type Relay, MailServer } from '../lib/mail-server.js';
import { Remote } from '../lib/remote.js';
import { SlowLine } from '../lib/slow-line.js';
import { CONTENDERS } from './contender.js';

export const ROUND_TRIP = 80;
/** At least; it ends between two rounds. */
const IDLE = 60_000;
/** The server hangs up after this much silence. */
const SERVER_PATIENCE = 10_000;
/** Untimed ones up to the ninth; the last of them, since the server may have hung up meanwhile, at its turn. */
const SIDE_BY_SIDE = 8;
const WARM_SENDS = 3;

export const SCENARIOS = ['first after boot', 'tenth', 'after 60 s idle'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** Milliseconds. */
export interface Sample {
  contender: string;
  scenario: Scenario | 'boot';
  took: number;
}

interface Runner {
  readonly contender: string;
  readonly process: Remote;
  sends: number;
  idleSince: number;
}

/** One server at the end of one slow line, and all who send through it. */
export class Field {
  readonly samples: Sample[] = [];
  readonly roundTrips: number[] = [];
  readonly sent: string[] = [];
  readonly #server: MailServer;
  readonly #line: SlowLine;
  readonly #relay: Relay;
  #resting: Runner[] = [];

  private constructor(server: MailServer, line: SlowLine) {
    this.#server = server;
    this.#line = line;
    this.#relay = { ...server.relay, port: line.port };
  }

  static async open(pipelining: boolean): Promise<Field> {
    const server = await MailServer.start({ idleTimeout: SERVER_PATIENCE, hidePipelining: !pipelining });
    return new Field(server, await SlowLine.open(server.relay.port, ROUND_TRIP));
  }

  /** Starts a fresh process for each contender: the first mail after boot finds none of its code warm. */
  load(): Promise<Runner[]> {
    const file = new URL('./client-process.ts', import.meta.url);
    return Promise.all(
      Object.keys(CONTENDERS).map(async (contender) => {
        return { contender, process: await Remote.start(file, [contender]), sends: 0, idleSince: 0 };
      }),
    );
  }

  /**
   * What is timed is alone on the line; only sends between the first and the tenth go on side by side.
   *
   * @param restAfterwards keeps the processes for {@link wake}
   */
  async run(runners: readonly Runner[], restAfterwards: boolean): Promise<void> {
    for (const runner of runners) {
      const { contender, process } = runner;
      this.roundTrips.push(...(await this.#line.measure(2)));
      this.samples.push({ contender, scenario: 'boot', took: await process.ask<number>('boot', this.#relay) });
      await this.#time(runner, 'first after boot');
    }
    await Promise.all(
      runners.map(async (runner) => {
        while (runner.sends < SIDE_BY_SIDE) await this.#send(runner);
      }),
    );
    for (const runner of runners) {
      this.roundTrips.push(...(await this.#line.measure(2)));
      await this.#send(runner);
      for (let count = 0; count < WARM_SENDS; count++) await this.#time(runner, 'tenth');
      runner.idleSince = performance.now();
      if (restAfterwards) this.#resting.push(runner);
      else await runner.process.stop();
    }
  }

  /** Lets those send once more that have been idle long enough. */
  async wake(): Promise<void> {
    for (const runner of this.#resting.filter((each) => each.idleSince + IDLE <= performance.now())) {
      this.#resting = this.#resting.filter((each) => each !== runner);
      await this.#time(runner, 'after 60 s idle');
      await runner.process.stop();
    }
  }

  /** Milliseconds until the next one has been idle long enough; undefined when all have sent. */
  get pause(): number | undefined {
    if (this.#resting.length === 0) return undefined;
    return Math.max(0, Math.min(...this.#resting.map(({ idleSince }) => idleSince)) + IDLE - performance.now());
  }

  recipients(): Promise<string[]> {
    return this.#server.recipients();
  }

  async #time(runner: Runner, scenario: Scenario): Promise<void> {
    this.samples.push({ contender: runner.contender, scenario, took: await this.#send(runner) });
  }

  #send(runner: Runner): Promise<number> {
    runner.sends++;
    const to = `customer${this.sent.length}@mail.test`;
    this.sent.push(to);
    return runner.process.ask<number>('send', to);
  }
}
