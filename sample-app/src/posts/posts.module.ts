import { Module } from '@nestjs/common';
import { FollowersService } from './followers.service.js';
import { PostsController } from './posts.controller.js';
import { PostsService } from './posts.service.js';

@Module({ controllers: [PostsController], providers: [PostsService, FollowersService], exports: [PostsService] })
export class PostsModule {}
