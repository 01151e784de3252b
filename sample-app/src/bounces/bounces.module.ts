import { Module } from '@nestjs/common';
import { PostsModule } from '../posts/posts.module.js';
import { SettingsModule } from '../settings/settings.module.js';
import { BouncesController } from './bounces.controller.js';
import { BouncesService } from './bounces.service.js';

@Module({ imports: [PostsModule, SettingsModule], controllers: [BouncesController], providers: [BouncesService] })
export class BouncesModule {}
