import { isDeepStrictEqual } from 'node:util';
import { reasonOf } from '../errors.js';
import type { GuardedTransport } from './guarded.js';
import { notAsked } from './transport.js';

/** Where transports come from that are not in the configuration. */
export interface TenantSource {
  /** The configuration behind a name; undefined when there is none. */
  resolve(name: string): Promise<unknown>;
  /** @throws MailConfigError */
  create(name: string, config: unknown): GuardedTransport;
}

interface Tenant {
  config: unknown;
  transport: GuardedTransport;
  resolvedAt: number;
  usedAt: number;
}

/** One that was not used for this long is closed. */
const IDLE_AFTER = 5 * 60_000;
/** A transport that was replaced finishes within this long what was handed to it before. */
const FINISH_WITHIN = 60_000;
/** A source that has not answered within this long has failed. */
const ANSWERS_WITHIN = 10_000;
/** The source is asked again after this long, so that a new password or server is taken up. */
const TRUST_FOR = 60_000;

/** Transports that are found where a mail is sent, made on demand and closed when nobody uses them. */
export class Tenants {
  private readonly known = new Map<string, Tenant>();
  private readonly pending = new Map<string, Promise<GuardedTransport | undefined>>();
  /** Replaced, and finishing what they have begun. */
  private readonly replaced = new Map<GuardedTransport, number>();
  private readonly sweeper: NodeJS.Timeout;
  private closed = false;

  constructor(private readonly source: TenantSource) {
    this.sweeper = setInterval(() => this.sweep(), IDLE_AFTER / 5);
    this.sweeper.unref();
  }

  /** @throws TransportError the source failed */
  async get(name: string): Promise<GuardedTransport | undefined> {
    const tenant = this.known.get(name);
    if (tenant && Date.now() - tenant.resolvedAt < TRUST_FOR && !tenant.transport.loginRefused) {
      tenant.usedAt = Date.now();
      return tenant.transport;
    }
    const pending = this.pending.get(name) ?? this.resolve(name).finally(() => this.pending.delete(name));
    this.pending.set(name, pending);
    return pending;
  }

  get transports(): GuardedTransport[] {
    return [...this.known.values()].map(({ transport }) => transport);
  }

  async close(within: number): Promise<void> {
    this.closed = true;
    clearInterval(this.sweeper);
    await Promise.all([...this.transports, ...this.replaced.keys()].map((transport) => transport.close(within)));
  }

  private async resolve(name: string): Promise<GuardedTransport | undefined> {
    const now = Date.now();
    const old = this.known.get(name);
    try {
      const config = await this.ask(name);
      if (old && isSame(config, old.config)) {
        this.known.set(name, { ...old, resolvedAt: now, usedAt: now });
        return old.transport;
      }
      this.forget(name);
      if (config === undefined || config === null) return undefined;
      const transport = this.source.create(name, config);
      this.known.set(name, { config, transport, resolvedAt: now, usedAt: now });
      // The source answered too late: what is sent is told the same as by all the others.
      if (this.closed) await transport.close(0);
      else void transport.start();
      return transport;
    } catch (error) {
      // The last configuration is better than none.
      if (old && this.known.get(name) === old) {
        old.resolvedAt = now;
        return old.transport;
      }
      throw notAsked(name, `resolveTransport failed: ${reasonOf(error)}`, { cause: error });
    }
  }

  private async ask(name: string): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${ANSWERS_WITHIN} ms`)), ANSWERS_WITHIN);
    });
    try {
      return await Promise.race([this.source.resolve(name), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private forget(name: string): void {
    const tenant = this.known.get(name);
    this.known.delete(name);
    if (tenant) this.replaced.set(tenant.transport, Date.now());
  }

  private sweep(): void {
    const now = Date.now();
    for (const [transport, at] of this.replaced) {
      if (now - at < FINISH_WITHIN) continue;
      this.replaced.delete(transport);
      void transport.close(FINISH_WITHIN).catch(() => undefined);
    }
    for (const [name, { usedAt }] of this.known) if (now - usedAt >= IDLE_AFTER) this.forget(name);
  }
}

/** An object of a class in it is told by its identity: what it hides, such as a key, cannot be compared. */
function isSame(some: unknown, other: unknown): boolean {
  if (some === other) return true;
  const objectsOf = (config: unknown): unknown[] => {
    const { send, transport, ses } = (config ?? {}) as {
      send?: unknown;
      transport?: unknown;
      ses?: { client?: unknown };
    };
    return [send === undefined ? undefined : config, transport, ses?.client];
  };
  const others = objectsOf(other);
  return objectsOf(some).every((one, index) => one === others[index]) && isDeepStrictEqual(some, other);
}
