/** Where a span stands in its trace, to travel with queued mail: W3C `traceparent`; after a space `tracestate`, if there is one. */
export type TraceContext = string;

export type SpanKind = 'internal' | 'client' | 'producer' | 'consumer';

/** Nothing of what a mail says, and nobody's address. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface SpanOptions {
  kind: SpanKind;
  attributes?: SpanAttributes;
  /** What it is a part of; null begins a trace. Default: whatever the running code is a part of. */
  parent?: TraceContext | null | undefined;
  links?: readonly TraceContext[];
}

/** A span under way. */
export interface Span {
  /** Undefined where nothing is traced. */
  readonly context: TraceContext | undefined;
  set(attributes: SpanAttributes): void;
}

/** Makes the spans of a mail's way. */
export interface Tracer {
  /** False: what only serves traces need not be done. */
  readonly on: boolean;
  /** Runs work in a span that ends with it, as failed when it throws. */
  span<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T>;
}

const NO_SPAN: Span = { context: undefined, set: () => undefined };

/** Where nothing is traced. */
export const NO_TRACER: Tracer = { on: false, span: (_name, _options, work) => work(NO_SPAN) };
