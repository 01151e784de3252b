import { Injectable, NotFoundException } from '@nestjs/common';
import { MailService } from 'nestjs-priority-mail';
import { MembersService, type Member } from '../members/members.service.js';
import type { Post } from '../posts/post.js';
import { PostsService } from '../posts/posts.service.js';
import type { Comment } from './comment.js';
import { CommentsRepository } from './comments.repository.js';
import type { CreateCommentDto } from './create-comment.dto.js';
import { NewCommentMail } from './new-comment.mail.js';

@Injectable()
export class CommentsService {
  constructor(
    private readonly comments: CommentsRepository,
    private readonly posts: PostsService,
    private readonly members: MembersService,
    private readonly mail: MailService,
  ) {}

  ofPost(postId: string): Promise<Comment[]> {
    return this.comments.ofPost(postId);
  }

  /**
   * Tells those who take part in the discussion. In a handler with `@CollectMail()` their mails are queued together when the
   * comment is saved, and not at all when that fails.
   *
   * @returns the comment and how many are notified of it
   */
  async add(postId: string, { author, text }: CreateCommentDto): Promise<Comment & { notified: number }> {
    const post = this.posts.find(postId);
    if (!post) throw new NotFoundException('There is no such post.');
    const readers = await this.participants(post, author);
    for (const { name, email, locale } of readers) {
      await this.mail.send(NewCommentMail, {
        to: { name, address: email },
        locale,
        data: { name, postId, title: post.title, author, text },
      });
    }
    const comment: Comment = { postId, author, text, writtenAt: new Date() };
    await this.comments.save(comment);
    return { ...comment, notified: readers.length };
  }

  /** The author of the post and of every comment so far, as far as they are members, without the one who writes now. */
  private async participants(post: Post, writer: string): Promise<Member[]> {
    const comments = await this.comments.ofPost(post.id);
    const names = new Set([post, ...comments].map(({ author }) => author));
    names.delete(writer);
    return [...names].flatMap((name) => this.members.named(name) ?? []);
  }
}
