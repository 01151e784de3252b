import type { BulkMailInput } from 'nestjs-priority-mail';

const paragraph = 'The new season is here, and with it what you have been asking for since last winter. '.repeat(4);

/** A mail of about 2 KB for each subscriber, with merge fields in subject and body. */
export function newsletter(count: number): BulkMailInput {
  return {
    subject: 'News for {{name}}',
    text: `Hello {{name}},\n\n${paragraph}\n\nUnsubscribe: https://shop.test/unsubscribe/{{key}}\n`,
    html: `<html><body><h1>Hello {{name}}</h1>${`<p>${paragraph}</p>`.repeat(3)}
<p><a href="https://shop.test/unsubscribe/{{key}}">Unsubscribe</a></p></body></html>`,
    recipients: subscribers(count),
  };
}

function* subscribers(count: number) {
  for (let n = 0; n < count; n++) {
    yield { to: `subscriber${n}@readers.test`, context: { name: `Reader ${n}`, key: `k${n}` } };
  }
}
