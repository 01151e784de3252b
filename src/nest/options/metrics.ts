import { DEFAULTS } from './defaults.js';
import { fail, OptionReader } from './reader.js';

/** prom-client's `Registry`, as far as it is looked at. Its own type only those have who use it. */
export interface MetricsRegister {
  metrics(): Promise<string>;
  registerMetric(metric: never): void;
}

/** What is counted where. */
export interface MetricsSettings {
  /** Undefined: prom-client's default register. */
  register?: MetricsRegister;
  prefix: string;
  /** Of the time that a send takes, in seconds; rising. */
  buckets?: readonly number[];
}

const NAME = /^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/;

/** Undefined without `metrics`. @throws MailConfigError */
export function parseMetrics(parent: OptionReader): MetricsSettings | undefined {
  const value = parent.raw('metrics');
  if (value === undefined || value === false) return undefined;
  if (value !== true && (typeof value !== 'object' || value === null)) {
    fail('metrics', value, "Give true for prom-client's default register, or { register, prefix, buckets }.");
  }
  const reader = new OptionReader(value === true ? {} : value, 'metrics');
  const prefix = reader.raw('prefix') ?? DEFAULTS.metrics.prefix;
  if (typeof prefix !== 'string' || !NAME.test(prefix)) {
    fail(reader.pathOf('prefix'), prefix, "Give letters, digits and _, such as 'shop_'; no digit first.");
  }
  const register = reader.raw('register');
  const buckets = reader.raw('buckets');
  reader.end();
  return {
    prefix,
    ...(register === undefined ? {} : { register: checkRegister(register) }),
    ...(buckets === undefined ? {} : { buckets: checkBuckets(buckets) }),
  };
}

function checkRegister(value: unknown): MetricsRegister {
  const { metrics, registerMetric } = (value ?? {}) as Partial<MetricsRegister>;
  if (typeof metrics === 'function' && typeof registerMetric === 'function') return value as MetricsRegister;
  return fail('metrics.register', value, "Give a Registry of prom-client's.");
}

function checkBuckets(value: unknown): readonly number[] {
  const rises = (bound: unknown, index: number, all: unknown[]): boolean =>
    typeof bound === 'number' && bound > (index === 0 ? 0 : (all[index - 1] as number)) && bound < Infinity;
  if (Array.isArray(value) && value.length > 0 && value.every(rises)) return value as number[];
  return fail('metrics.buckets', value, 'Give numbers above 0, in seconds, each larger than the one before.');
}
