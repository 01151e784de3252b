import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { eventually } from '../support/eventually.js';
import type { FinalReport, ProbeAnswer } from './campaign.js';
import { Member } from './member.js';
import { BODY_TIMEOUT, LOCK_DURATION, workersOf, type RunOptions } from './schedule.js';
import { Sink } from './sink.js';
import { openStore, type ChaosStore } from './store.js';

/** Of each process that delivers. */
export const CONNECTIONS = 4;
/** Milliseconds. */
export const SHUTDOWN_TIMEOUT = 5_000;

const CAMPAIGN = 'followers';

/** All that takes part in a run: the store, the mail server, and the application's processes. */
export class Scene {
  readonly store: ChaosStore;
  readonly sink: Sink;
  readonly workers: readonly Member[];
  /** On the embedded store the one worker. */
  readonly producer: Member;

  private constructor(store: ChaosStore, sink: Sink, workers: readonly Member[], producer: Member) {
    this.store = store;
    this.sink = sink;
    this.workers = workers;
    this.producer = producer;
  }

  static async open({ seed, store: name, recipients, workers: count }: RunOptions): Promise<Scene> {
    const [store, sink] = await Promise.all([openStore[name](), Sink.start(seed)]);
    const campaign = { id: CAMPAIGN, recipients };
    const member = (title: string, { delivers = true, queues = false }): Member =>
      new Member({
        name: title,
        options: (login) => optionsFor(store, sink, login, delivers),
        ...(queues ? { campaign } : {}),
      });
    const embedded = name === 'embedded';
    const workers = Array.from({ length: workersOf({ store: name, workers: count }) }, (_, index) =>
      member(`worker-${index + 1}`, { queues: embedded }),
    );
    const producer = embedded ? workers[0]! : member('producer', { delivers: false, queues: true });
    const scene = new Scene(store, sink, workers, producer);
    await Promise.all(scene.members.map((one) => one.start()));
    return scene;
  }

  get members(): readonly Member[] {
    return [...new Set([...this.workers, this.producer])];
  }

  /** How many messages the mail server has taken. */
  get accepted(): number {
    return this.sink.read();
  }

  report(): Promise<FinalReport> {
    return this.producer.ask('report');
  }

  probe(): Promise<ProbeAnswer> {
    return this.producer.ask('probe');
  }

  /** Resolves when the module says that the campaign is over. */
  async completed(within: number): Promise<FinalReport> {
    await eventually(() => this.producer.queued, { within });
    let last: FinalReport | undefined;
    return eventually(
      async () => {
        last = await this.report();
        return last.campaign?.state === 'completed' && last;
      },
      { within },
    ).catch((error: unknown) => {
      throw new Error(`The campaign is not completed: ${JSON.stringify(last)}`, { cause: error });
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((one) => one.signal('SIGKILL')));
    await this.sink.signal('SIGKILL');
  }
}

function optionsFor(store: ChaosStore, sink: Sink, login: string, delivers: boolean): MailModuleOptions {
  return {
    from: 'Shop <news@shop.test>',
    transports: [
      {
        name: 'main',
        url: `smtp://${login}:x@127.0.0.1:${sink.port}`,
        maxConnections: CONNECTIONS,
        minWarm: 0,
        connectTimeout: '3s',
        commandTimeout: '3s',
        bodyTimeout: BODY_TIMEOUT,
      },
    ],
    queue: {
      connection: store.connection,
      worker: delivers ? { lockDuration: LOCK_DURATION } : false,
      // The mail server's moods pass: nobody is to be given up for them.
      retry: { attempts: 100, firstPause: '500ms', maxPause: '2s' },
    },
    shutdownTimeout: SHUTDOWN_TIMEOUT,
  };
}
