import type { InjectionToken } from '@nestjs/common';
import { openAttachmentStore } from '../attachments/open.js';
import type { Preparation } from '../delivery/preparation.js';
import type { MailEmitter } from '../events/emitter.js';
import type { Tracer } from '../events/tracer.js';
import { createBackend, migrateQueue } from '../queue/backend.js';
import { MailQueue } from '../queue/mail-queue.js';
import type { MailQueueSettings } from '../queue/settings.js';
import { openStore } from '../store/open.js';
import type { Store } from '../store/store.js';
import type { GuardedTransport } from '../transport/guarded.js';
import type { Routes } from '../transport/route.js';
import type { TransportSettings } from './options/parse.js';
import { checkTransports, createTransport, type TransportContext } from './transports.js';

/** Where the parts tell what nobody waits for. */
export interface Report {
  onError: (error: Error) => void;
  onWarning: (warning: string) => void;
}

/** The bulk lane's store, and what makes the lane on it. */
export interface OpenedQueue {
  store: Store;
  create(routes: Routes, events: MailEmitter, preparation: Preparation, tracer: Tracer): MailQueue;
}

/**
 * What of a mailer reaches out of the process. A test that puts other parts in their place runs everything else as it is:
 * options, classification, validation, rendering, ledgers, reports and encoding.
 */
export interface MailParts {
  /** Connects nothing yet. @throws MailConfigError when the store's package is not installed */
  openQueue(settings: MailQueueSettings, report: Report): Promise<OpenedQueue>;
  /** @throws MailConfigError what a transport needs is not installed, or no good. Default: it is. */
  checkTransports?(transports: readonly TransportSettings[]): Promise<void>;
  /** Makes one of `transports`, or what `resolveTransport` gave. Connects nothing yet. */
  createTransport(settings: TransportSettings, context: TransportContext): GuardedTransport;
}

/** Those of production. */
export const REAL_PARTS: MailParts = {
  async openQueue(settings, { onError, onWarning }) {
    const { name, target, lockTimeout } = settings;
    const store = await openStore(target, { name, migrate: migrateQueue, lockTimeout, onError, onWarning });
    const { target: place } = settings.attachments;
    const attachments = place && (await openAttachmentStore(place));
    return {
      store,
      create: (routes, events, preparation, tracer) => {
        const backend = createBackend(name, store, onError);
        const outside = { routes, events, preparation, onError, tracer };
        return new MailQueue(settings, { store, backend, attachments }, outside);
      },
    };
  },
  checkTransports,
  createTransport,
};

/** The injection token of a mailer's {@link MailParts}, for tests to override. */
export function getMailPartsToken(name?: string): InjectionToken {
  return `MailParts(${name ?? 'default'})`;
}
