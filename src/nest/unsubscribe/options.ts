import { fail, OptionReader } from '../options/reader.js';
import { parseUrlPath } from '../options/url-path.js';
import type { UnsubscribeTexts } from './page.js';

/** The options of `MailUnsubscribeModule.forRoot()`. */
export interface MailUnsubscribeOptions {
  /**
   * Where the page is, below the application's global prefix. `unsubscribe.url` of the mail module is its public address. Default
   * `'unsubscribe'`.
   */
  path?: string;
  /** The mailer whose links it serves, of several. Default: the one without a name. */
  mailer?: string;
  /** What the page says; a function chooses by the request's Accept-Language header. Default: English. */
  texts?: Partial<UnsubscribeTexts> | ((languages: string | undefined) => Partial<UnsubscribeTexts>);
  /** Names of lists for the page, by the `list` of a campaign. Default: a list's own name. */
  lists?: Readonly<Record<string, string>>;
  /** Who has unsubscribed may subscribe again, by a button on the page that says so. Default true. */
  undo?: boolean;
}

/** The same, complete. */
export interface UnsubscribePageSettings {
  path: string;
  mailer: string | undefined;
  texts: (languages: string | undefined) => Partial<UnsubscribeTexts>;
  lists: Readonly<Record<string, string>>;
  undo: boolean;
}

/** @throws MailConfigError */
export function parseUnsubscribePage(options: MailUnsubscribeOptions): UnsubscribePageSettings {
  const reader = new OptionReader(options, '');
  const path = parseUrlPath(reader, 'unsubscribe', 'mail/unsubscribe');
  const { texts = {}, lists = {} } = options;
  if (typeof reader.raw('texts') !== 'function') {
    reader.section('texts');
    for (const [name, text] of Object.entries(texts)) {
      if (text !== undefined && typeof text !== 'string') fail(`texts.${name}`, text, 'Give a text.');
    }
  }
  reader.section('lists');
  const settings: UnsubscribePageSettings = {
    path,
    mailer: reader.string('mailer'),
    texts: typeof texts === 'function' ? texts : () => texts,
    lists,
    undo: reader.boolean('undo', true),
  };
  reader.end();
  return settings;
}
