import { Body, Controller, Get, Param, Post } from '@nestjs/common';
import { CollectMail } from 'nestjs-priority-mail';
import type { Comment } from './comment.js';
import { CommentsService } from './comments.service.js';
import { CreateCommentDto } from './create-comment.dto.js';

@Controller('posts/:postId/comments')
export class CommentsController {
  constructor(private readonly comments: CommentsService) {}

  @Get()
  ofPost(@Param('postId') postId: string): Promise<Comment[]> {
    return this.comments.ofPost(postId);
  }

  /** All its mails go to the queue in one round trip, before the answer goes out. */
  @Post()
  @CollectMail()
  add(@Param('postId') postId: string, @Body() comment: CreateCommentDto): Promise<Comment & { notified: number }> {
    return this.comments.add(postId, comment);
  }
}
