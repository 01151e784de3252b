import { SSE_METADATA } from '@nestjs/common/constants.js';

/** Whether `@Sse()` stands on a handler: its Observable lasts as long as the client stays. */
export function isSse(handler: object): boolean {
  return Reflect.hasMetadata(SSE_METADATA, handler);
}
