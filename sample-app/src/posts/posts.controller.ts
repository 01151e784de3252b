import { Body, Controller, Get, HttpCode, HttpStatus, Post } from '@nestjs/common';
import type { CampaignReceipt } from 'nestjs-priority-mail';
import { CreatePostDto } from './create-post.dto.js';
import type { Post as CommunityPost } from './post.js';
import { PostsService } from './posts.service.js';

@Controller('posts')
export class PostsController {
  constructor(private readonly posts: PostsService) {}

  @Get()
  latest(): readonly CommunityPost[] {
    return this.posts.latest();
  }

  /** Accepted: the mails are queued, none has been sent yet. */
  @Post()
  @HttpCode(HttpStatus.ACCEPTED)
  publish(@Body() post: CreatePostDto): Promise<CampaignReceipt> {
    return this.posts.publish(post);
  }
}
