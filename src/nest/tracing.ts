import type * as OpenTelemetry from '@opentelemetry/api';
import { MailDeliveryError, MailError } from '../errors.js';
import type { Span, SpanAttributes, SpanKind, SpanOptions, TraceContext, Tracer } from '../events/tracer.js';
import { loadPeer } from '../peer.js';
import { TransportError } from '../transport/transport.js';
import type { TracerProviderLike } from './options/tracing.js';

type Api = typeof OpenTelemetry;

const SCOPE = 'nestjs-priority-mail';

/** @throws MailConfigError when OpenTelemetry's API is not installed */
export async function openTracer(setting: true | TracerProviderLike): Promise<Tracer> {
  const api = await loadPeer('@opentelemetry/api', () => import('@opentelemetry/api'), 'The mail option tracing');
  const provider = setting === true ? api.trace : (setting as OpenTelemetry.TracerProvider);
  return new OpenTelemetryTracer(api, provider.getTracer(SCOPE));
}

class OpenTelemetryTracer implements Tracer {
  readonly on = true;

  constructor(
    private readonly api: Api,
    private readonly tracer: OpenTelemetry.Tracer,
  ) {}

  async span<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
    const { context, trace, SpanStatusCode } = this.api;
    const around = this.around(options.parent);
    const { links = [], attributes = {} } = options;
    const span = this.tracer.startSpan(
      name,
      {
        kind: this.kind(options.kind),
        attributes: known(attributes),
        links: links.flatMap((link) => this.remote(link) ?? []).map((linked) => ({ context: linked })),
      },
      around,
    );
    try {
      const own = {
        context: carried(this.api, span),
        set: (more: SpanAttributes) => void span.setAttributes(known(more)),
      };
      return await context.with(trace.setSpan(around, span), () => work(own));
    } catch (error) {
      const type = typeOf(error);
      span.setAttribute('error.type', type);
      // An error's message may hold a server's words, and in them an address.
      span.setStatus({ code: SpanStatusCode.ERROR, message: type });
      throw error;
    } finally {
      span.end();
    }
  }

  private around(parent: SpanOptions['parent']): OpenTelemetry.Context {
    const { context, trace, ROOT_CONTEXT } = this.api;
    if (parent === undefined) return context.active();
    const remote = parent === null ? undefined : this.remote(parent);
    return remote ? trace.setSpanContext(ROOT_CONTEXT, remote) : ROOT_CONTEXT;
  }

  /** Undefined for what is no trace context, such as one of a later version of the format. */
  private remote(carrier: TraceContext): OpenTelemetry.SpanContext | undefined {
    const [, traceId, spanId, flags, state] = CARRIED.exec(carrier) ?? [];
    if (traceId === undefined || spanId === undefined) return undefined;
    return {
      traceId,
      spanId,
      traceFlags: parseInt(flags!, 16),
      isRemote: true,
      ...(state === undefined ? {} : { traceState: this.api.createTraceState(state) }),
    };
  }

  private kind(kind: SpanKind): OpenTelemetry.SpanKind {
    const { SpanKind } = this.api;
    const kinds = {
      internal: SpanKind.INTERNAL,
      client: SpanKind.CLIENT,
      producer: SpanKind.PRODUCER,
      consumer: SpanKind.CONSUMER,
    };
    return kinds[kind];
  }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header */
const CARRIED = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?: (.+))?$/;

/** By hand: the application may have set no propagator, or one of another format. */
function carried({ isSpanContextValid }: Api, span: OpenTelemetry.Span): TraceContext | undefined {
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags, traceState } = spanContext;
  const state = traceState?.serialize();
  const flags = traceFlags.toString(16).padStart(2, '0');
  return `00-${traceId}-${spanId}-${flags}${state ? ` ${state}` : ''}`;
}

function known(attributes: SpanAttributes): OpenTelemetry.Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

/** What went wrong, in a word of which there are few. */
function typeOf(error: unknown): string {
  if (error instanceof TransportError) return error.kind;
  if (error instanceof MailDeliveryError && error.cause instanceof TransportError) return error.cause.kind;
  if (error instanceof MailError && error.code !== undefined) return error.code;
  return error instanceof Error ? error.name : 'error';
}
