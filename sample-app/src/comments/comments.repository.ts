import { Injectable } from '@nestjs/common';
import type { Comment } from './comment.js';

/** Stands in for a table. */
@Injectable()
export class CommentsRepository {
  private readonly comments: Comment[] = [];

  /** The earliest first. */
  async ofPost(postId: string): Promise<Comment[]> {
    return this.comments.filter((comment) => comment.postId === postId);
  }

  async save(comment: Comment): Promise<void> {
    this.comments.push(comment);
  }
}
