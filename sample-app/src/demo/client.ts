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

  post(post: {
    author: string;
    title: string;
    text: string;
    preview?: { to: string }[];
  }): Promise<Timed<CampaignReceipt>> {
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

  /** As a mail program does when its reader clicks its button (RFC 8058). */
  async unsubscribeByProgram(link: string): Promise<void> {
    const body = new URLSearchParams({ 'List-Unsubscribe': 'One-Click' });
    await expectOk(await fetch(link, { method: 'POST', body }));
  }

  /** Opens the page of the link, and presses its button. */
  async unsubscribeInBrowser(link: string): Promise<void> {
    const page = await (await expectOk(await fetch(link))).text();
    const form = /<form[^>]*>[^]*?<\/form>/.exec(page)?.[0] ?? '';
    const fields = [...form.matchAll(/<(?:input|button)[^>]*name="([^"]*)"[^>]*value="([^"]*)"/g)];
    const body = new URLSearchParams();
    for (const [, name = '', value = ''] of fields) body.append(name, value);
    await expectOk(await fetch(link, { method: 'POST', body }));
  }

  /** The address's mail server returns the mail of the latest post. */
  async bounce(email: string): Promise<void> {
    await this.call('/bounces', { email });
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

async function expectOk(response: Response): Promise<Response> {
  if (response.ok) return response;
  throw new Error(`${new URL(response.url).pathname} answered ${response.status}`);
}
