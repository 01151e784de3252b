import type { MailModuleOptions } from '../../src/nest/options/types.js';
import { type TsChild, spawnTs } from '../support/child.js';

/** A machine under load takes its time to start a process. */
const PATIENCE = 120_000;

export interface MemberOptions {
  /** `worker-1`; also what it calls itself towards the mail server. */
  name: string;
  options: (login: string) => MailModuleOptions;
  /** The campaign that it queues. */
  campaign?: { id: string; recipients: number };
}

/** A process of the application, which can die and be started again. */
export class Member {
  readonly name: string;
  #life = 0;
  #process: TsChild | undefined;
  readonly #options: MemberOptions;
  /** What its earlier lives printed. */
  readonly #past: string[] = [];

  constructor(options: MemberOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** What it logs in to the mail server as. */
  get login(): string {
    return `${this.name}.${this.#life}`;
  }

  async start(): Promise<void> {
    this.#past.push(...(this.#process?.lines ?? []));
    this.#life++;
    const { options, campaign } = this.#options;
    const args = campaign ? [campaign.id, String(campaign.recipients)] : [];
    const file = new URL('./mail-process.mjs', import.meta.url);
    this.#process = spawnTs(file, [JSON.stringify(options(this.login)), ...args], { NO_COLOR: '1' });
    await this.#process.line(/^booted/, PATIENCE);
  }

  /** Resolves when it has ended; at once for SIGSTOP and SIGCONT. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    await this.#process?.kill(signal);
  }

  /** What it has printed of its own accord, in all its lives. */
  get words(): string[] {
    return [...this.#past, ...(this.#process?.lines ?? [])].filter((line) => !/^(read|report|probe) /.test(line));
  }

  /** How many recipients this life's call has read. */
  get read(): number {
    return Number(this.#process?.lines.findLast((line) => line.startsWith('read '))?.slice(5) ?? 0);
  }

  /** Whether this life has been told that all are queued. */
  get queued(): boolean {
    return this.#process?.lines.some((line) => line.startsWith('queued ')) ?? false;
  }

  /** @param what `report` or `probe` */
  async ask<T>(what: string): Promise<T> {
    const child = this.#process!;
    child.write(what);
    const line = await child.line((text) => text.startsWith(`${what} {`), PATIENCE);
    return JSON.parse(line.slice(what.length + 1)) as T;
  }
}
