import type Handlebars from 'handlebars';
import { loadPeer } from '../../peer.js';
import type { TemplateHelper } from './options.js';

/**
 * A Handlebars of this engine's own: what an application registers at the common one is not seen here.
 *
 * @throws MailConfigError when Handlebars is not installed
 */
export async function openEnvironment(helpers: Readonly<Record<string, TemplateHelper>>): Promise<typeof Handlebars> {
  const { default: common } = await loadPeer('handlebars', () => import('handlebars'), 'A Handlebars template');
  const handlebars = common.create();
  for (const [name, helper] of Object.entries(helpers)) handlebars.registerHelper(name, synchronous(name, helper));
  return handlebars;
}

/** Handlebars would write a promise as `[object Promise]`. */
function synchronous(name: string, helper: TemplateHelper): Handlebars.HelperDelegate {
  return function (this: unknown, ...args: unknown[]): unknown {
    const value = helper.apply(this, args as never[]);
    if (typeof (value as PromiseLike<unknown> | undefined)?.then !== 'function') return value;
    throw new Error(`the helper ${name} is asynchronous; put what it waits for into the context`);
  };
}
