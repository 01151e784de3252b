// @ts-check
// Everything a person has typed is shown through textContent, never as HTML.

const ASK_EVERY = 500;
const LOOK_EVERY = 2_000;
/** The rate is that of the last few seconds. */
const RATE_OVER = 3_000;

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const number = (/** @type {number} */ value) => value.toLocaleString('en');
const seconds = (/** @type {number} */ ms) => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
const mails = (/** @type {number} */ count) => `${number(count)} ${count === 1 ? 'mail' : 'mails'}`;
const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What is wrong with a request, in lines for a person. */
class Refused extends Error {
  /** @param {string[]} faults */
  constructor(faults) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** @param {string} path @param {object} [body] */
async function call(path, body) {
  const started = performance.now();
  const response = await fetch(
    path,
    body && {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    },
  ).catch(() => {
    throw new Refused(['The site does not answer.']);
  });
  const answer = await response.json();
  if (!response.ok) throw new Refused([answer.message].flat());
  return { answer, took: performance.now() - started };
}

/** @param {string} tag @param {string} text @param {Record<string, string>} [attributes] */
function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/**
 * Sends a form as JSON and shows what came of it.
 *
 * @param {HTMLElement} form
 * @param {HTMLElement} result
 * @param {(fields: Record<string, string>) => Promise<HTMLElement[]>} send
 */
function onSubmit(form, result, send) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector('button'));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const shown = await send(
        /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(/** @type {HTMLFormElement} */ (form)))),
      );
      result.classList.remove('bad');
      result.replaceChildren(...shown);
    } catch (error) {
      result.classList.add('bad');
      const faults = error instanceof Refused ? error.faults : [String(error)];
      result.replaceChildren(...faults.map((fault) => element('p', fault)));
    } finally {
      button.disabled = false;
    }
  });
}

onSubmit($('reset-form'), $('reset-result'), async (fields) => {
  const { answer, took } = await call('/password-resets', fields);
  if (answer.status === 'queued') {
    const waits = element('p', 'No mail server is in reach. It leaves as soon as one is, ahead of everything else. ');
    waits.append(element('a', 'Its record', { href: `/mails/${answer.id}` }));
    return [waits];
  }
  const said = element('p', `The mail server said “${answer.response}”. `, { class: 'said' });
  said.append(element('a', 'Its record', { href: `/mails/${answer.id}` }));
  return [
    element('p', `Sent: the mail server took it for ${answer.accepted.join(', ')} within ${seconds(took)}.`),
    said,
  ];
});

onSubmit($('post-form'), $('post-result'), async (fields) => {
  const { answer, took } = await call('/posts', fields);
  await showPosts();
  return [
    element('p', `Published. ${number(answer.queued)} mails were queued within ${seconds(took)}; they leave below.`),
  ];
});

onSubmit($('invoice-form'), $('invoice-result'), async (fields) => {
  const { answer, took } = await call('/invoices', fields);
  const how = answer.status === 'sent' ? 'Sent, its PDF with it' : 'Queued: no mail server is in reach';
  const line = element('p', `${how}, within ${seconds(took)}. `);
  line.append(element('a', 'Its record', { href: `/mails/${answer.id}` }));
  return [line];
});

onSubmit($('invoices-form'), $('invoice-result'), async () => {
  const { answer, took } = await call('/invoices/yearly', {});
  return [element('p', `${mails(answer.queued)} queued within ${seconds(took)}, each with a PDF of its own.`)];
});

onSubmit($('bounce-form'), $('bounce-result'), async (fields) => {
  await call('/bounces', fields);
  await showSuppressions();
  return [element('p', `The mail of the latest post came back from ${fields['email']}.`)];
});

const REASONS = {
  'hard-bounce': 'bounced',
  complaint: 'complained',
  unsubscribed: 'unsubscribed',
  manual: 'by hand',
};

let suppressions = '';

async function showSuppressions() {
  const { answer: latest } = await call('/suppressions');
  // A button that has the focus keeps it.
  if (JSON.stringify(latest) === suppressions) return;
  suppressions = JSON.stringify(latest);
  $('suppressions').replaceChildren(
    ...latest.map(
      (/** @type {{ address: string, scope: string, reason: keyof typeof REASONS, note?: string }} */ one) => {
        const line = element('li', '');
        const why = element(
          'span',
          ` ${REASONS[one.reason]}${one.note ? `: ${one.note.replace(/, from message .*/, '')}` : ''}`,
        );
        why.prepend(element('b', one.address));
        line.append(why);
        const button = element('button', 'Let it have mail again', { class: 'small' });
        button.addEventListener('click', async () => {
          const which = new URLSearchParams({ reason: one.reason, scope: one.scope });
          await fetch(`/suppressions/${encodeURIComponent(one.address)}?${which}`, { method: 'DELETE' });
          await showSuppressions();
        });
        line.append(button);
        return line;
      },
    ),
  );
}

const STATES = {
  queueing: 'Queueing',
  running: 'Delivering',
  paused: 'Paused',
  suspended: 'Suspended',
  completed: 'Delivered',
  cancelled: 'Cancelled',
  incomplete: 'Incomplete',
};
const ENDED = ['completed', 'cancelled', 'incomplete'];
const shown = new Set();

/** Shows the posts that are not shown yet, the latest first. */
async function showPosts() {
  const { answer: posts } = await call('/posts');
  for (const post of posts.toReversed()) {
    if (shown.has(post.id)) continue;
    shown.add(post.id);
    $('no-posts').hidden = true;
    const template = /** @type {HTMLTemplateElement} */ ($('post-template'));
    const item = /** @type {HTMLElement} */ (template.content.cloneNode(true)).firstElementChild;
    const card = /** @type {HTMLElement} */ (item);
    card.id = post.id;
    write(card, 'title', post.title);
    const time = new Date(post.publishedAt).toLocaleTimeString([], { timeStyle: 'short' });
    write(card, 'byline', `${post.author}, ${time}`);
    card.querySelector('progress')?.setAttribute('aria-label', `Mails of “${post.title}” sent`);
    $('posts').prepend(card);
    takeComments(card, post);
    void follow(card, post);
  }
}

/** @param {HTMLElement} card @param {{ id: string }} post */
function takeComments(card, post) {
  const path = `/posts/${post.id}/comments`;
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (card.querySelector(selector));
  const show = async () => {
    const { answer: comments } = await call(path);
    find('.comments').replaceChildren(
      ...comments.map((/** @type {{ author: string, text: string }} */ { author, text }) => {
        const line = element('li', ` ${text}`);
        line.prepend(element('b', author));
        return line;
      }),
    );
  };
  find('select').replaceChildren(...members.map((name) => element('option', name)));
  onSubmit(find('form'), find('.result'), async (fields) => {
    const { answer, took } = await call(path, fields);
    await show();
    return [element('p', `Saved within ${seconds(took)}, and ${mails(answer.notified)} queued in one go.`)];
  });
  void show();
}

/** @param {HTMLElement} card @param {string} field @param {string} text */
function write(card, field, text) {
  const place = /** @type {HTMLElement} */ (card.querySelector(`.${field}`));
  if (place.textContent !== text) place.textContent = text;
}

/** Asks for a campaign until it has ended. @param {HTMLElement} card @param {{ id: string, title: string }} post */
async function follow(card, post) {
  const bar = /** @type {HTMLProgressElement} */ (card.querySelector('progress'));
  /** @type {{ at: number, sent: number }[]} */
  const seen = [];
  for (;;) {
    try {
      const { answer: report } = await call(`/campaigns/${post.id}`);
      const ended = ENDED.includes(report.state);
      bar.max = Math.max(1, report.total);
      bar.value = report.sent + report.failed + report.cancelled;
      write(card, 'state', STATES[/** @type {keyof typeof STATES} */ (report.state)]);
      write(card, 'sent', number(report.sent));
      write(card, 'queued', number(report.queued + report.deferred));
      write(card, 'failed', number(report.failed));
      write(card, 'left', number(report.suppressed));
      card.querySelector('.failed')?.classList.toggle('some', report.failed > 0);
      write(card, 'rate', ended ? average(report) : current(seen, report.sent));
      if (ended) {
        if (seen.length > 0) $('announcement').textContent = `${post.title}: ${number(report.sent)} mails sent.`;
        return;
      }
    } catch (error) {
      write(card, 'state', error instanceof Refused ? error.message : String(error));
    }
    await sleep(ASK_EVERY);
  }
}

/** @param {{ at: number, sent: number }[]} seen @param {number} sent */
function current(seen, sent) {
  const now = performance.now();
  seen.push({ at: now, sent });
  while (seen.length > 2 && now - (seen[0]?.at ?? now) > RATE_OVER) seen.shift();
  const first = seen[0];
  if (!first || now - first.at < ASK_EVERY / 2 || sent === 0) return '–';
  return number(Math.round(((sent - first.sent) / (now - first.at)) * 1_000));
}

/** @param {{ sent: number, startedAt: string, finishedAt?: string }} report */
function average({ sent, startedAt, finishedAt }) {
  if (!finishedAt) return '–';
  return number(Math.round((sent / Math.max(1, Date.parse(finishedAt) - Date.parse(startedAt))) * 1_000));
}

/** @typedef {{ sent: number, queued: number, failed: number }} Counts */

/** Both lanes in the last hour, and the latest that happened. */
async function showLog() {
  const [{ answer: stats }, { answer: latest }] = await Promise.all([call('/mails/stats'), call('/mails/latest')]);
  const lane = (/** @type {string} */ name, /** @type {Counts} */ { sent, failed }) =>
    `${name} lane: ${number(sent)} sent, ${number(failed)} failed`;
  const { priority, bulk } = stats.lanes;
  $('stats').textContent = `In the last hour: ${lane('priority', priority)}; ${lane('bulk', bulk)}.`;
  $('log').replaceChildren(
    ...latest.map((/** @type {{ at: string, text: string, isTrouble: boolean }} */ { at, text, isTrouble }) => {
      const line = element('li', ` ${text}`, isTrouble ? { class: 'bad' } : {});
      line.prepend(element('time', new Date(at).toLocaleTimeString([], { timeStyle: 'medium' }), { datetime: at }));
      return line;
    }),
  );
}

const [{ answer: site }, { answer: members }] = await Promise.all([call('/site'), call('/members')]);
for (const [name, address] of [
  ['inbox', site.inbox],
  ['queues', site.queues],
]) {
  if (!address) continue;
  const link = $(`${name}-link`);
  link.setAttribute('href', address);
  link.hidden = false;
}
await showPosts();
// A link in a mail leads to its post, which was not there when the page was loaded.
document.getElementById(location.hash.slice(1))?.scrollIntoView();
for (;;) {
  await Promise.all([showLog(), showSuppressions()]).catch(() => undefined);
  await sleep(LOOK_EVERY);
}
