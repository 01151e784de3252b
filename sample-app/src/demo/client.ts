import type { CampaignReceipt, CampaignReport, MailReceipt } from 'nestjs-priority-mail';

/** An answer and how long it took, HTTP included. */
export interface Timed<T> {
  answer: T;
  took: number;
}

/** The site as its users see it: over HTTP. */
export class Client {
  constructor(private readonly site: string) {}

  reset(email: string): Promise<Timed<MailReceipt>> {
    return this.call('/password-resets', { email });
  }

  post(post: { author: string; title: string; text: string }): Promise<Timed<CampaignReceipt>> {
    return this.call('/posts', post);
  }

  comment(postId: string, comment: { author: string; text: string }): Promise<Timed<{ notified: number }>> {
    return this.call(`/posts/${postId}/comments`, comment);
  }

  invoice(email: string): Promise<Timed<MailReceipt>> {
    return this.call('/invoices', { email });
  }

  invoiceAll(): Promise<Timed<{ queued: number }>> {
    return this.call('/invoices/yearly', {});
  }

  async campaign(id: string): Promise<CampaignReport> {
    const { answer } = await this.call<CampaignReport>(`/campaigns/${id}`);
    return {
      ...answer,
      startedAt: new Date(answer.startedAt),
      ...(answer.finishedAt ? { finishedAt: new Date(answer.finishedAt) } : {}),
    };
  }

  private async call<T>(path: string, body?: object): Promise<Timed<T>> {
    const started = performance.now();
    const response = await fetch(this.site + path, {
      ...(body ? { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } } : {}),
    });
    const answer = (await response.json()) as T & { message?: string };
    const took = performance.now() - started;
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${answer.message}`);
    return { answer, took };
  }
}
