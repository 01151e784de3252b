import { Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { MailService, type CampaignReceipt, type RecipientDto, type RecipientInput } from 'nestjs-priority-mail';
import type { CreatePostDto } from './create-post.dto.js';
import { FollowersService } from './followers.service.js';
import { NewPostMail } from './new-post.mail.js';
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

  find(id: string): Post | undefined {
    return this.posts.find((post) => post.id === id);
  }

  /** Nobody waits for these mails: they are durably queued, and the answer does not wait for a single one. */
  async publish({ author, title, text = '', preview }: CreatePostDto): Promise<CampaignReceipt> {
    // Short enough to stand in the mail's envelope sender.
    const id = `post-${randomBytes(9).toString('hex')}`;
    const post: Post = { id, author, title, text, publishedAt: new Date() };
    const receipt = await this.mail.sendBulk(NewPostMail, {
      id: post.id,
      name: `${author}: ${title}`,
      list: 'posts',
      data: { id: post.id, author, title, text },
      recipients: preview ? previewers(preview) : this.readers(),
    });
    this.posts.unshift(post);
    this.posts.splice(KEPT);
    return receipt;
  }

  private async *readers(): AsyncIterable<Reader> {
    for await (const { email, name, locale } of this.followers.all()) {
      yield { to: { name, address: email }, locale: locale || undefined, data: { name } };
    }
  }
}

type Reader = Pick<RecipientInput, 'to' | 'locale'> & { data: { name?: string } };

function previewers(preview: readonly RecipientDto[]): Reader[] {
  return preview.map(({ to, locale, context }) => {
    const name = context?.['name'];
    return { to, locale, data: typeof name === 'string' ? { name } : {} };
  });
}
