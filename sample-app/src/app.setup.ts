import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Response } from 'express';
import { resolve } from 'node:path';

/** What an application has beside its modules. */
export function setUp(app: NestExpressApplication): NestExpressApplication {
  app.disable('x-powered-by');
  app.useStaticAssets(resolve(import.meta.dirname, '../public'), {
    setHeaders: (response: Response) =>
      response.setHeader('Content-Security-Policy', "default-src 'self'; frame-ancestors 'none'"),
  });
  return app;
}
