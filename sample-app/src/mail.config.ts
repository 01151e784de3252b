import { MailOptions } from './mailing/mail-options.js';
import { Settings } from './settings/settings.js';

/** What the command `priority-mail` reads: the options of the site. */
export default new MailOptions(new Settings()).createMailOptions();
