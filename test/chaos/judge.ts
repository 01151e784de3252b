import type { FinalReport, ProbeAnswer } from './campaign.js';
import { IN_FLIGHT, boundOf, countByCause } from './duplicates.js';
import type { Done } from './faults.js';
import { isGone } from './moods.js';
import { recipientOf } from './recipients.mjs';
import { workersOf, type RunOptions } from './schedule.js';
import type { Accepted } from './sink.js';

/** What is known when a run is over. */
export interface Evidence {
  options: RunOptions;
  startedAt: number;
  report: FinalReport;
  faults: readonly Done[];
  /** All that the mail server took. */
  accepted: readonly Accepted[];
  probes: readonly ProbeAnswer[];
}

/** What a fault has done. Times are milliseconds. */
export interface Effect {
  kind: string;
  /** Since the run began. */
  at: number;
  lasted: number;
  /** Messages that were accepted when it began. */
  accepted: number;
  /** Messages it made go out again, as far as can be told. */
  duplicates: number;
  bound: number;
  /** From its end to the next message that was accepted; absent when none was. */
  recovery?: number;
}

export interface Verdict {
  options: RunOptions;
  /** Milliseconds in all, the start of the processes included. */
  took: number;
  /** Messages that the mail server took, duplicates among them. */
  accepted: number;
  /** Recipients that it refuses for good. */
  refused: number;
  /** Recipients neither served nor refused. */
  lost: number;
  duplicates: number;
  bound: number;
  /** Of the duplicates: the server kept the message without saying so. */
  unanswered: number;
  /** Of the duplicates: beyond what the faults may cause, such as when a busy machine makes a process lose its lock. */
  elsewhere: number;
  /** The longest time in which nothing was accepted. */
  silence: number;
  effects: Effect[];
  probes: readonly ProbeAnswer[];
  /** What does not hold; empty when all is well. */
  broken: string[];
}

/** Lines about one rule; where there are more, the first ones tell enough. */
const SHOWN = 5;

export function judge({ options, startedAt, report, faults, accepted: all, probes }: Evidence): Verdict {
  const recipients = Array.from({ length: options.recipients }, (_, n) => recipientOf(n));
  const gone = new Set(recipients.filter((recipient) => isGone(options.seed, recipient)));
  // Beside the campaign there are the probes.
  const campaign = new Set(recipients);
  const accepted = all.filter(({ recipient }) => campaign.has(recipient));
  const served = byRecipient(accepted);
  const lost = recipients.filter((recipient) => !served.has(recipient) && !gone.has(recipient));

  const repeated = [...served.values()].flatMap((messages) => messages.slice(0, -1));
  const answered = repeated.filter((message) => message.answered);
  const bounds = new Map(faults.map((done) => [done, boundOf(done, accepted)]));
  const causes = countByCause(answered, bounds);
  const elsewhere = causes.get(undefined) ?? 0;
  const mayBeElsewhere = workersOf(options) * IN_FLIGHT;
  const mayBeUnanswered = accepted.filter((message) => !message.answered).length;

  return {
    options,
    took: Date.now() - startedAt,
    accepted: accepted.length,
    refused: gone.size,
    lost: lost.length,
    duplicates: repeated.length,
    bound: [...bounds.values(), mayBeUnanswered, mayBeElsewhere].reduce((total, one) => total + one, 0),
    unanswered: repeated.length - answered.length,
    elsewhere,
    silence: longestSilence(accepted),
    effects: [...bounds]
      .map(([done, bound]) => ({ ...effectOf(done, startedAt, accepted), bound, duplicates: causes.get(done) ?? 0 }))
      .sort((a, b) => a.at - b.at),
    probes,
    broken: [
      ...first(lost, (recipient) => `${recipient} was neither served nor refused`),
      ...(elsewhere > mayBeElsewhere ? [`${elsewhere} duplicates are beyond what the faults may cause`] : []),
      ...identityFaults(served),
      ...reportFaults(report, options.recipients, gone),
      ...first(probes, ({ error = 'success' }) =>
        error === 'MailQueueUnavailableError' ? undefined : `While the store was away, queueing ended in ${error}`,
      ),
    ],
  };
}

function byRecipient(accepted: readonly Accepted[]): Map<string, Accepted[]> {
  const served = new Map<string, Accepted[]>();
  for (const message of accepted) {
    const messages = served.get(message.recipient);
    if (messages) messages.push(message);
    else served.set(message.recipient, [message]);
  }
  return served;
}

function effectOf(
  { fault, clients, from, until, accepted: before }: Done,
  startedAt: number,
  accepted: readonly Accepted[],
): Omit<Effect, 'duplicates' | 'bound'> {
  const next = accepted.find(({ at }) => at > until);
  return {
    kind: 'worker' in fault ? fault.kind.replace('worker', clients[0]!) : fault.kind,
    at: from - startedAt,
    lasted: until - from,
    accepted: before,
    ...(next ? { recovery: next.at - until } : {}),
  };
}

function longestSilence(accepted: readonly Accepted[]): number {
  return accepted.reduce((longest, { at }, index) => Math.max(longest, at - (accepted[index - 1]?.at ?? at)), 0);
}

/** A message that goes out again is the same message, and nobody else's. */
function identityFaults(served: ReadonlyMap<string, readonly Accepted[]>): string[] {
  const owners = new Map<string, string>();
  return first(served, ([recipient, messages]) => {
    const [id = '', ...others] = new Set(messages.map(({ messageId }) => messageId));
    if (id === '') return `${recipient} got a message without a Message-ID`;
    if (others.length > 0) return `${recipient} got ${[id, ...others].join(' and ')}`;
    const owner = owners.get(id);
    owners.set(id, recipient);
    return owner && `${recipient} and ${owner} both got ${id}`;
  });
}

/** What the module says came of the campaign, against what the mail server knows. */
function reportFaults({ campaign, failures }: FinalReport, total: number, gone: ReadonlySet<string>): string[] {
  const wanted = { state: 'completed', total, sent: total - gone.size, failed: gone.size, queued: 0, deferred: 0 };
  const failed = new Set(failures.map(({ recipient }) => recipient));
  return [
    ...first(Object.entries(wanted), ([name, value]) => {
      const said = campaign?.[name as keyof typeof wanted];
      return said === value ? undefined : `campaign() says ${name}: ${said}, not ${value}`;
    }),
    ...first(gone, (recipient) => (failed.has(recipient) ? undefined : `failures() lacks ${recipient}`)),
    ...first(failures, ({ recipient, reply }) =>
      gone.has(recipient) && reply.startsWith('550 5.1.1') ? undefined : `failures() has ${recipient}: ${reply}`,
    ),
  ];
}

/** What is wrong with the first of the items with which something is. */
function first<T>(items: Iterable<T>, wrong: (item: T) => string | undefined): string[] {
  const found: string[] = [];
  for (const item of items) {
    const words = wrong(item);
    if (words !== undefined && found.push(words) === SHOWN) break;
  }
  return found;
}
