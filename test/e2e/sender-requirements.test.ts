import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { authenticate } from 'mailauth';
import { beforeAll, describe, expect, it } from 'vitest';
import { Mail, type Mailable, type MailRenderContext } from '../../src/nest/mail-class.js';
import { startMail } from '../support/app.js';
import { dkimKey, dkimResults } from '../support/dkim.js';
import { eventually } from '../support/eventually.js';
import { readTree } from '../support/mime-tree.js';
import { parse, type ParsedMessage } from '../support/parse.js';
import { startSmtpServer, type ReceivedMessage } from '../support/smtp-server.js';
import { readPage, tableRows } from '../support/snippets.js';
import { IN_MEMORY } from '../support/stores.js';
import { temporaryFolder } from '../support/temp.js';

interface Arrived extends ReceivedMessage {
  mail: ParsedMessage;
}

const key = dkimKey('mail2026', 'rsa', 'shop.test');
const secret = 'a secret of the test, of 32 bytes at least';
const PAGE = 'https://shop.test/mail/unsubscribe';

@Mail({ name: 'offers', unsubscribe: true })
class OffersMail implements Mailable<{ reader: string }> {
  render({ reader }: { reader: string }, { unsubscribeUrl = '' }: MailRenderContext) {
    return { subject: `Offers for ${reader}`, html: `<p>Offers</p><p><a href="${unsubscribeUrl}">Unsubscribe</a></p>` };
  }
}

/** What a domain publishes: `v=spf1` for its servers, its key, and its policy. */
const DNS: Record<string, string> = {
  'shop.test': 'v=spf1 ip4:192.0.2.1 -all',
  'mail2026._domainkey.shop.test': key.record,
  '_dmarc.shop.test': 'v=DMARC1; p=reject; adkim=s; aspf=s',
};

/** The tests are the rows of docs/deliverability.md that the module answers for, by their names. */
describe('a campaign mail', () => {
  const received: Arrived[] = [];
  let unencrypted = 0;

  beforeAll(async () => {
    const smtp = await startSmtpServer({
      tls: 'starttls',
      onMail: (_, session) => {
        if (!session.secure) unencrypted++;
      },
    });
    const dir = temporaryFolder('templates');
    mkdirSync(dir, { recursive: true });
    const template =
      '---\nsubject: News for {{name}}\n---\n<p>News</p><p><a href="{{unsubscribeUrl}}">Unsubscribe</a></p>';
    writeFileSync(join(dir, 'news.hbs'), template);
    const { domainName, keySelector, pem: privateKey } = key;
    const { mail } = await startMail({
      from: 'Shop <news@shop.test>',
      transports: [
        {
          name: 'main',
          url: smtp.url,
          tls: { ca: smtp.certificate!.cert },
          dkim: { domainName, keySelector, privateKey },
        },
      ],
      templates: { dir },
      unsubscribe: { secret, url: PAGE, mailto: 'unsubscribe@shop.test' },
      queue: { connection: IN_MEMORY },
      providers: [OffersMail],
    });
    const readers = ['ann@mail.test', `${'long.'.repeat(12)}name@${'sub.'.repeat(30)}mail.test`, 'ann@우편.한국'];
    const link = '<a href="{{unsubscribeUrl}}">Unsubscribe</a>';
    const merged = {
      subject: 'Hi {{name}}, ' + '새 글 '.repeat(30),
      text: '{{unsubscribeUrl}}',
      html: `<p>${link}</p>`,
    };
    await mail.sendBulk({
      ...merged,
      ...{ list: 'news', unsubscribe: true, replyTo: 'shop@shop.test', headers: { 'X-Kind': 'a' } },
      recipients: readers.map((to) => ({ to, context: { name: 'Ann' } })),
    });
    await mail.sendBulk({
      ...{ list: 'news', unsubscribe: true, template: 'news' },
      recipients: readers.map((to) => ({ to, context: { name: 'Ann' } })),
    });
    await mail.sendBulk(OffersMail, {
      list: 'news',
      recipients: readers.map((to) => ({ to, data: { reader: 'Ann' } })),
    });
    await eventually(() => expect(smtp.received).toHaveLength(9));
    for (const one of smtp.received) received.push({ ...one, mail: await parse(one.raw) });
  });

  const each = async (check: (arrived: Arrived) => unknown): Promise<void> => {
    expect(received).toHaveLength(9);
    for (const arrived of received) await check(arrived);
  };
  const linksOf = ({ mail }: Arrived): string[] =>
    [...(mail.headers['list-unsubscribe'] ?? '').matchAll(/<([^<>]+)>/g)].map(([, link]) => link!);
  const fieldNames = ({ raw }: Arrived): string[] => readTree(raw).headers.map(([name]) => name.toLowerCase());

  it('can be unsubscribed from by one click', () =>
    each((arrived) => {
      const { headers } = arrived.mail;
      expect(headers['list-unsubscribe-post']).toBe('List-Unsubscribe=One-Click');
      const [page, byMail, ...others] = linksOf(arrived);
      expect(page).toMatch(/^https:\/\/shop\.test\/mail\/unsubscribe\?token=[\w-]+$/);
      expect(byMail).toMatch(/^mailto:unsubscribe@shop\.test\?subject=unsubscribe%20[\w-]+$/);
      expect(others).toEqual([]);
    }));

  it('has a link that is its reader’s own, and tells nobody who that is', async () => {
    const links = new Set<string>();
    await each((arrived) => {
      links.add(linksOf(arrived)[0]!);
      const token = Buffer.from(linksOf(arrived)[0]!.split('token=')[1]!, 'base64url').toString();
      expect(token).not.toContain(arrived.to[0]!.split('@')[0]);
    });
    expect(links.size).toBe(9);
  });

  it('has its unsubscribe headers signed with DKIM', () =>
    each(async ({ raw }) => {
      const [, signed = ''] = /^DKIM-Signature:[^]*?\bh=([^;]*);/.exec(raw.toString()) ?? [];
      const fields = signed.replace(/\s/g, '').split(':');
      expect(fields).toEqual(expect.arrayContaining(['from', 'list-unsubscribe', 'list-unsubscribe-post', 'list-id']));
      const [start, ...rest] = raw.toString('latin1').split('List-Unsubscribe: <https://shop.test');
      const changed = Buffer.from([start, ...rest].join('List-Unsubscribe: <https://shup.test'), 'latin1');
      expect(await dkimResults(changed, key)).toEqual([expect.stringContaining('fail')]);
    }));

  it('has unsubscribe headers that are not broken', () =>
    each(({ raw }) => {
      const [header = ''] = raw.toString().split('\r\n\r\n');
      const [line = '', ...folded] = /^List-Unsubscribe: .*(\r\n[ \t].*)*/m.exec(header)![0].split('\r\n');
      expect(line).toMatch(/^List-Unsubscribe: <https:[^ <>]+>,$/);
      expect(folded).toEqual([expect.stringMatching(/^ <mailto:[^ <>]+>$/)]);
    }));

  it('can show a link to unsubscribe in its text', () =>
    each((arrived) => {
      const [page = ''] = linksOf(arrived);
      const { html = '', text = '' } = arrived.mail;
      expect(html.replaceAll('&#x3D;', '=')).toContain(`<a href="${page}">`);
      expect(text.replace(/\s/g, '')).toContain(page);
    }));

  it('names its list', () => each(({ mail }) => expect(mail.headers['list-id']).toBe('<news.shop.test>')));

  it('passes SPF, DKIM and DMARC', () =>
    each(async ({ raw, from }) => {
      const resolver = (name: string): Promise<string[][]> => {
        const record = DNS[name];
        if (record !== undefined) return Promise.resolve([[record]]);
        return Promise.reject(Object.assign(new Error(`There is no ${name}`), { code: 'ENOTFOUND' }));
      };
      const asked = { ip: '192.0.2.1', helo: 'mx.shop.test', mta: 'mx.mail.test', sender: from, resolver };
      const { dmarc, dkim, spf } = await authenticate(raw, { ...asked, minBitLength: 1_024 });
      expect(dkim.results.map(({ status }) => status.result)).toEqual(['pass']);
      expect(spf && spf.status.result).toBe('pass');
      expect(dmarc && dmarc.status.result).toBe('pass');
      expect(dmarc && dmarc.alignment).toMatchObject({ spf: { result: 'shop.test' }, dkim: { result: 'shop.test' } });
    }));

  it('comes from the address that the application gave, and bounces to its domain', () =>
    each(({ mail, from }) => {
      expect(mail.from).toMatchObject({ name: 'Shop', address: 'news@shop.test' });
      expect(from).toMatch(/@shop\.test$/);
    }));

  it('has each field that may stand once in it once, and one address in From', () =>
    each((arrived) => {
      const names = fieldNames(arrived);
      for (const name of ['from', 'to', 'subject', 'date', 'message-id', 'mime-version', 'list-unsubscribe']) {
        expect(names.filter((one) => one === name)).toEqual([name]);
      }
      for (const name of ['list-unsubscribe-post', 'list-id', 'content-type']) {
        expect(names.filter((one) => one === name)).toEqual([name]);
      }
      const senders = readTree(arrived.raw).headers.filter(([name]) => name === 'From');
      expect(senders).toEqual([['From', 'Shop <news@shop.test>']]);
    }));

  it('has a Message-ID in the sender’s domain that no other mail has', async () => {
    const ids = new Set<string | undefined>();
    await each(({ mail }) => {
      expect(mail.messageId).toMatch(/^<[\w.~-]+@shop\.test>$/);
      ids.add(mail.messageId);
    });
    expect(ids.size).toBe(9);
  });

  it('has a Date of today', () =>
    each(({ mail }) => {
      expect(mail.headers['date']).toMatch(/^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/);
      expect(Math.abs(Date.parse(mail.headers['date']!) - Date.now())).toBeLessThan(24 * 3_600_000);
    }));

  it('keeps the rules of RFC 5322 and MIME, and has a short header', () =>
    each(({ raw }) => {
      readTree(raw);
      expect(raw.indexOf('\r\n\r\n')).toBeLessThan(8 * 1_024);
    }));

  it('goes to one recipient, whom it names', () =>
    each(({ mail, to }) => {
      expect(mail.to.map(({ address }) => address)).toHaveLength(1);
      expect(to).toHaveLength(1);
      expect(mail.cc).toEqual([]);
      expect(mail.headers['bcc']).toBeUndefined();
    }));

  it('is encrypted on its way', () => expect(unencrypted).toBe(0));
});

it('docs/deliverability.md tells the test of each requirement that the module answers for', () => {
  const rows = tableRows(readPage('docs/deliverability.md'));
  const tested = rows.flatMap(([, , who, test]) => (who === 'module' ? [test] : []));
  const source = readPage('test/e2e/sender-requirements.test.ts');
  const names = [...source.matchAll(/^ {2}it\('([^']+)'/gm)].map(([, name]) => name);
  expect(new Set(tested)).toEqual(new Set(names));
});
