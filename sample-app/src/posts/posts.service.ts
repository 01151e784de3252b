import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { MailService, type CampaignReceipt, type RecipientInput } from 'nestjs-priority-mail';
import type { CreatePostDto } from './create-post.dto.js';
import { FollowersService } from './followers.service.js';
import { POST_MAIL } from './post-mail.js';
import type { Post } from './post.js';

const KEPT = 20;

@Injectable()
export class PostsService {
  private readonly posts: Post[] = [];

  constructor(
    private readonly mail: MailService,
    private readonly followers: FollowersService,
  ) {}

  /** The latest first. */
  latest(): readonly Post[] {
    return this.posts;
  }

  /** Nobody waits for these mails: they are durably queued, and the answer does not wait for a single one. */
  async publish({ author, title, text = '', preview }: CreatePostDto): Promise<CampaignReceipt> {
    const post: Post = { id: `post-${randomUUID()}`, author, title, text, publishedAt: new Date() };
    const receipt = await this.mail.sendBulk({
      ...POST_MAIL,
      id: post.id,
      name: `${author}: ${title}`,
      groups: { post: { id: post.id, author, title, text } },
      recipients: preview ? previewers(preview) : this.readers(),
    });
    this.posts.unshift(post);
    this.posts.splice(KEPT);
    return receipt;
  }

  private async *readers(): AsyncIterable<RecipientInput> {
    for await (const { email, name } of this.followers.all()) {
      yield { to: { name, address: email }, context: { name }, group: 'post' };
    }
  }
}

function previewers(preview: readonly RecipientInput[]): RecipientInput[] {
  return preview.map(({ to, context }) => ({ to, context: { name: 'you', ...context }, group: 'post' }));
}
