import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { Collector } from './collector.js';
import { isSse } from './sse.js';

/** Where a handler's end is the end of a request. A gateway's messages have none. */
const REQUESTS = new Set(['http', 'graphql', 'rpc']);

/** Collects the bulk mail of every request, with `collect: 'requests'`. */
@Injectable()
export class CollectRequests implements NestInterceptor {
  constructor(
    private readonly collector: Collector,
    private readonly isOn: boolean,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (!this.isOn || !REQUESTS.has(context.getType<string>()) || isSse(context.getHandler())) return next.handle();
    return this.collector.during(() => next.handle()) as Observable<unknown>;
  }
}
