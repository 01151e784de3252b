import { fail, type OptionReader } from './reader.js';

/** OpenTelemetry's `TracerProvider`, as far as it is looked at. Its own type only those have who use it. */
export interface TracerProviderLike {
  getTracer(name: string, version?: string): unknown;
}

/** @throws MailConfigError */
export function parseTracing(reader: OptionReader): true | TracerProviderLike | undefined {
  const value = reader.raw('tracing');
  if (value === undefined || value === false) return undefined;
  if (value === true) return true;
  if (isProvider(value)) return value;
  return fail('tracing', value, 'Give true for the provider that the application has registered, or a TracerProvider.');
}

function isProvider(value: unknown): value is TracerProviderLike {
  return typeof (value as Partial<TracerProviderLike> | null)?.getTracer === 'function';
}
