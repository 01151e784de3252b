import { AsyncLocalStorage } from 'node:async_hooks';
import { isObservable, Observable } from 'rxjs';
import { reasonOf } from '../errors.js';
import type { Collection } from './collection.js';
import type { OnCollectError } from './options/collect.js';

/** One mailer's part in collecting. */
export interface MailerPart {
  /** Its name, or `default`. */
  readonly mailer: string;
  /** What becomes of its mail when the work that sent it fails, where nothing else is said. */
  readonly onError: OnCollectError;
  /** Undefined: it has no bulk lane. */
  open(): Collection | undefined;
  /** A flush failed, and the caller is told of another failure. */
  report(error: unknown): void;
}

/** Whose mail is collected, how long, and what becomes of it. */
export interface Extent {
  covers: (part: MailerPart) => boolean;
  /** An Observable is collected over until it completes. Default true; false: only until it is returned. */
  observables?: boolean;
  /** Default: the mailer's own `collect.onError`. */
  onError?: OnCollectError;
}

const scopes = new AsyncLocalStorage<Scope>();

/** The collection that a message sent now joins: that of the outermost scope around this call that is open. */
export function collectionFor(part: MailerPart): Collection | undefined {
  return scopes.getStore()?.collectionFor(part);
}

/** Runs what is done for everybody in no collection, in whoever's request it happens to begin. */
export function outsideCollections<T>(work: () => T): T {
  return scopes.exit(work);
}

/**
 * Collects the bulk mail that is sent while `work` runs. What work returns is returned: a promise settles, and an Observable
 * completes, when the mail is flushed. A value is returned as it is when there was no mail, else as a promise of it.
 */
export function collectDuring<T>(extent: Extent, work: () => T): T | Promise<Awaited<T>> {
  const scope = new Scope(extent);
  let result: T;
  try {
    result = scope.run(work);
  } catch (error) {
    const flushed = scope.fail(error);
    if (!flushed) throw error;
    return flushed.then(() => Promise.reject(error as Error));
  }
  if (extent.observables !== false && isObservable(result)) return collectOver(scope, extent, result) as T;
  if (isThenable(result)) return scope.run(() => collectUntil(scope, result as PromiseLike<Awaited<T>>));
  return scope.succeed()?.then(() => result as Awaited<T>) ?? result;
}

/** A piece of work whose bulk mail is collected, one collection a mailer. */
class Scope {
  private readonly collections = new Map<MailerPart, Collection>();
  /** Those that are closed have no say, and would make a chain without end where each leaves a timer that begins the next. */
  private readonly outer = scopes.getStore()?.innermostOpen;
  private isOpen = true;

  constructor(private readonly extent: Extent) {}

  get innermostOpen(): Scope | undefined {
    return this.isOpen ? this : this.outer?.innermostOpen;
  }

  run<T>(work: () => T): T {
    return scopes.run(this, work);
  }

  collectionFor(part: MailerPart): Collection | undefined {
    const joined = this.outer?.collectionFor(part);
    if (joined || !this.isOpen || !this.extent.covers(part)) return joined;
    const known = this.collections.get(part);
    if (known) return known;
    const collection = part.open();
    if (collection) this.collections.set(part, collection);
    return collection;
  }

  /**
   * Flushes what was collected. Undefined: nothing was.
   *
   * @throws MailQueueUnavailableError
   */
  succeed(): Promise<void> | undefined {
    const flushes = this.close().map(([, collection]) => collection.flush());
    return flushes.length === 0 ? undefined : settled(flushes);
  }

  /** Discards or flushes what was collected, and never throws: the work's own failure is what the caller is told. */
  fail(failure: unknown): Promise<void> | undefined {
    const flushes: Promise<void>[] = [];
    for (const [part, collection] of this.close()) {
      if ((this.extent.onError ?? part.onError) === 'discard') collection.discard(reasonOf(failure));
      else flushes.push(collection.flush().catch((error: unknown) => part.report(error)));
    }
    return flushes.length === 0 ? undefined : settled(flushes);
  }

  discard(reason: string): void {
    for (const [, collection] of this.close()) collection.discard(reason);
  }

  private close(): [MailerPart, Collection][] {
    this.isOpen = false;
    const collected = [...this.collections].filter(([, collection]) => !collection.isEmpty);
    this.collections.clear();
    return collected;
  }
}

async function settled(flushes: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(flushes)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function collectUntil<T>(scope: Scope, result: PromiseLike<T>): Promise<T> {
  let value: T;
  try {
    value = await result;
  } catch (error) {
    await scope.fail(error);
    throw error;
  }
  await scope.succeed();
  return value;
}

/**
 * Collects over the subscription. A value is passed on one turn of the event loop later, unless the end has come by then: that
 * of a promise is followed by its end at once, and is an answer, which is not to go out before the flush.
 */
function collectOver<T>(first: Scope, extent: Extent, source: Observable<T>): Observable<T> {
  let unused: Scope | undefined = first;
  return new Observable<T>((subscriber) => {
    const scope = unused ?? new Scope(extent);
    unused = undefined;
    let held: { value: T; timer: NodeJS.Immediate } | undefined;
    const release = (): void => {
      if (!held) return;
      const { value, timer } = held;
      held = undefined;
      clearImmediate(timer);
      subscriber.next(value);
    };
    const subscription = scope.run(() =>
      source.subscribe({
        next: (value) => {
          release();
          held = { value, timer: setImmediate(release) };
        },
        error: (error: unknown) => {
          release();
          void Promise.resolve(scope.fail(error)).then(() => subscriber.error(error));
        },
        complete: () => {
          if (held) clearImmediate(held.timer);
          Promise.resolve(scope.succeed()).then(
            () => {
              release();
              subscriber.complete();
            },
            (error: unknown) => subscriber.error(error),
          );
        },
      }),
    );
    return () => {
      if (held) clearImmediate(held.timer);
      subscription.unsubscribe();
      scope.discard('nobody waits for the result any more');
    };
  });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as Partial<PromiseLike<unknown>>).then === 'function'
  );
}
