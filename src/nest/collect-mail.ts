import { types } from 'node:util';
import { MailConfigError } from '../errors.js';
import { collectDuring, type Extent } from './collecting.js';
import { checkOnCollectError, type OnCollectError } from './options/collect.js';
import { isSse } from './sse.js';

export interface CollectMailOptions {
  /** What becomes of the mail when the method fails. Default: the mailer's own `collect.onError`. */
  onError?: OnCollectError;
  /** The name of one of several mailers; `default` is the one without. Default: all of them. */
  mailer?: string;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

type MethodExtent = Extent & Pick<CollectMailOptions, 'mailer'>;

const COLLECTS = Symbol('nestjs-priority-mail:collects');

/**
 * Collects the bulk mail that is sent while a method runs, and flushes it to the queue in one go when the method has succeeded:
 * its promise resolves, or its Observable completes, when the mail is durably queued. When it fails, the mail is discarded. For
 * controllers, resolvers, microservice handlers, `@Cron` methods, and any other; on a class, for all methods that it declares
 * itself and that have no `@CollectMail` of their own.
 *
 * A method that returns a value, and no promise, returns a promise of it when it has sent bulk mail.
 *
 * ```ts
 * @CollectMail()
 * @Post('posts')
 * async publish() {}
 * ```
 *
 * @throws MailConfigError (at boot) a `mailer` that there is not
 * @throws MailQueueUnavailableError (the method) the mail could not be queued; what the method did is not undone
 */
export function CollectMail(options: CollectMailOptions = {}): ClassDecorator & MethodDecorator {
  const extent = extentOf(options);
  return (target: object, property?: string | symbol, descriptor?: PropertyDescriptor): void => {
    if (property === undefined) return collectAll((target as { prototype: object }).prototype, extent);
    const method = descriptor?.value as unknown;
    if (typeof method !== 'function') {
      throw new MailConfigError(`@CollectMail() stands on ${String(property)}. It is for classes and methods.`);
    }
    if (types.isGeneratorFunction(method)) {
      throw new MailConfigError(
        `@CollectMail() stands on ${String(property)}, a generator, which does its work while it is read and not while it is called. Collect where it is read.`,
      );
    }
    descriptor!.value = collecting(method as Method, extent);
  };
}

/** The mailer that a method names whose mail it collects. Undefined: all of them, or it collects nothing. */
export function mailerCollected(method: object): string | undefined {
  return (Reflect.getOwnMetadata(COLLECTS, method) as MethodExtent | undefined)?.mailer;
}

function extentOf({ onError, mailer }: CollectMailOptions): MethodExtent {
  checkOnCollectError(onError, '@CollectMail({ onError })');
  return {
    covers: (part) => mailer === undefined || mailer === part.mailer,
    ...(onError === undefined ? {} : { onError }),
    ...(mailer === undefined ? {} : { mailer }),
  };
}

function collectAll(prototype: object, extent: MethodExtent): void {
  for (const key of Reflect.ownKeys(prototype)) {
    const descriptor = Reflect.getOwnPropertyDescriptor(prototype, key)!;
    const method = descriptor.value as unknown;
    if (key === 'constructor' || typeof method !== 'function') continue;
    if (Reflect.hasOwnMetadata(COLLECTS, method)) continue;
    Reflect.defineProperty(prototype, key, { ...descriptor, value: collecting(method as Method, extent) });
  }
}

/** The method as Nest finds it: its name, its length, its own properties, and what decorators have noted of it. */
function collecting(method: Method, extent: MethodExtent): Method {
  const wrapped: Method = function (...args) {
    // `@Sse()` may stand above and be noted only now.
    const observables = !isSse(wrapped);
    return collectDuring({ ...extent, observables }, () => method.apply(this, args));
  };
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(method));
  for (const key of Reflect.getOwnMetadataKeys(method)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, method), wrapped);
  }
  Reflect.defineMetadata(COLLECTS, extent, wrapped);
  return wrapped;
}
