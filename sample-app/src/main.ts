import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { setUp } from './app.setup.js';
import { Settings } from './settings/settings.js';

const app = setUp(await NestFactory.create<NestExpressApplication>(AppModule));
app.enableShutdownHooks();
await app.listen(app.get(Settings).port, '127.0.0.1');
new Logger('Community').log(`Open ${await app.getUrl()}`);
