import { reasonOf } from '../../errors.js';
import type { Probe, ServerLoad } from '../probe.js';
import { TransportError } from '../transport.js';
import type { SmtpTransport } from '../smtp/transport.js';
import { PeriodicProbe, type Ask, type Judge, type PeriodicProbeSettings } from './periodic-probe.js';
import { statusPage } from './status-page.js';
import { Thresholds, type Limits } from './thresholds.js';

/** Tells in place of the limits whether bulk mail may come. */
export type Admit = (state: ServerLoad) => boolean | Promise<boolean>;

/** How a mail server is watched, checked and complete. */
export type ProbeSettings = SmtpProbeSettings | HttpProbeSettings;

type CommonSettings = PeriodicProbeSettings & { limits: Limits; admit?: Admit };
export type SmtpProbeSettings = CommonSettings & { type: 'smtp' };
export type HttpProbeSettings = CommonSettings & { type: 'http'; url: URL; token?: string };

type Timed = Pick<SmtpTransport, 'ping' | 'replyTime'>;

/** Makes the probe of one transport. */
export function openProbe(settings: HttpProbeSettings): Probe;
export function openProbe(settings: ProbeSettings, transport: Timed): Probe;
export function openProbe(settings: ProbeSettings, transport?: Timed): Probe {
  const { limits, admit } = settings;
  const ask = settings.type === 'smtp' ? latencyOf(transport!) : statusPage(settings.url, settings.token);
  return new PeriodicProbe(ask, admit ? judgedBy(admit) : judgedByLimits(limits), settings);
}

/** How long a NOOP takes, or a message's reply where that has taken longer of late. */
function latencyOf(transport: Timed): Ask {
  return async (signal) => {
    const { replyTime } = transport;
    try {
      return { latency: Math.max(await transport.ping(signal), replyTime ?? 0) };
    } catch (error) {
      // Other processes have all the connections that there may be, which says nothing about the server.
      const asked = !(error instanceof TransportError) || error.phase !== 'queue' || signal.aborted;
      if (asked) throw error;
      return replyTime === undefined ? {} : { latency: replyTime };
    }
  };
}

function judgedByLimits(limits: Limits): Judge {
  const thresholds = new Thresholds(limits);
  return (load) => thresholds.judge(load);
}

function judgedBy(admit: Admit): Judge {
  return async (load) => {
    let admitted: unknown;
    try {
      admitted = await admit(load);
    } catch (error) {
      throw new Error(`admit failed: ${reasonOf(error)}`, { cause: error });
    }
    if (typeof admitted !== 'boolean') throw new Error(`admit returned neither true nor false`);
    return admitted ? undefined : 'admit said no';
  };
}
