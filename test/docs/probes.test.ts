import ts from 'typescript';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MAIL_SERVERS, type MailServerName } from '../../src/cli/status-agent/open-mail-server.js';
import { AGENT_DEFAULTS } from '../../src/cli/status-agent/agent.js';
import type { SmtpTransportConfig } from '../../src/nest/options/types.js';
import type { ServerLoad } from '../../src/transport/probe.js';
import { readPage, snippetsOf, tableRows } from '../support/snippets.js';
import { parse } from '../nest/options.js';
import { membersOf } from './declared.js';

const page = readPage('docs/probes.md');
const code = snippetsOf('docs/probes.md');
const options = new Map(tableRows(readPage('docs/options.md')).map(([path, , , otherwise]) => [path, otherwise]));

afterEach(() => {
  vi.useRealTimers();
});

describe('docs/probes.md', () => {
  it('has every state of a server, and every figure', () => {
    const states = /state: ([^;]+);/.exec(readPage('src/transport/probe.ts'))?.[1];
    expect(
      column('Probes: how loaded a mail server is')
        .map((state) => `'${state}'`)
        .join(' | '),
    ).toBe(states);
    const figures = [...membersOf('src/transport/probe.ts', 'ServerLoad').keys()].slice(3);
    expect(column('The two kinds')).toEqual(figures);
  });

  it.each(rows('The two kinds').map(([, , limit = '', otherwise]) => ({ limit: bare(limit), otherwise })))(
    'has the default of $limit',
    ({ limit, otherwise }) => {
      expect(otherwise).toBe(options.get(`\`transports[].probe.${limit}\``));
    },
  );

  it('shows transports that are taken', async () => {
    const { transports } = (await run('src/mail-servers.ts')) as { transports: SmtpTransportConfig[] };
    expect(parse({ transports, queue: false }).transports).toMatchObject([
      { probe: { type: 'smtp' } },
      { probe: { type: 'http', limits: { maxLoad: 1.5, maxQueue: 20_000, minFreeDisk: 10 } } },
    ]);
  });

  it('shows an admit that does as it says', async () => {
    const { admitAtNight } = (await run('src/admit-at-night.ts')) as { admitAtNight: (load: ServerLoad) => boolean };
    vi.useFakeTimers({ toFake: ['Date'], now: new Date(2026, 0, 15, 12) });
    expect(admitAtNight({ state: 'ready', load: 0.45 })).toBe(true);
    expect(admitAtNight({ state: 'overloaded', load: 0.45 })).toBe(false);
    expect(admitAtNight({ state: 'ready', load: 1 })).toBe(false);
    vi.setSystemTime(new Date(2026, 0, 15, 3));
    expect(admitAtNight({ state: 'ready', load: 1 })).toBe(true);
  });

  it('shows what the agent answers', () => {
    const shown = JSON.parse(/^```json\n([^]*?)^```/m.exec(page)?.[1] ?? '') as object;
    expect(Object.keys(shown)).toEqual([...membersOf('src/cli/status-agent/status.ts', 'ServerStatus').keys()]);
  });

  it('has every option of the agent, and every mail server', () => {
    const fields = ['agent.ts:StatusAgentOptions', 'token.ts:TokenOptions'].flatMap((place) => {
      const [file = '', name = ''] = place.split(':');
      return [...membersOf(`src/cli/status-agent/${file}`, name).keys()];
    });
    const flags = fields.filter((field) => field !== 'onProblem').map((field) => field.replace(/[A-Z]/g, '-$&'));
    const shown = column('The status agent').filter((cell) => cell.startsWith('--'));
    expect(shown.sort()).toEqual(flags.map((flag) => `--${flag.toLowerCase()}`).sort());
    const servers = column('The status agent').filter((cell) => MAIL_SERVERS.includes(cell as MailServerName));
    expect(servers).toEqual(MAIL_SERVERS.slice(1));

    const defaults = new Map(
      rows('The status agent').map(([flag = '', , otherwise = '']) => [bare(flag), bare(otherwise)]),
    );
    for (const [name, value] of Object.entries(AGENT_DEFAULTS)) {
      expect(defaults.get(`--${name.replace(/[A-Z]/g, '-$&').toLowerCase()}`)).toBe(String(value));
    }
  });
});

/** The first cells of a section's tables, without backticks. */
function column(heading: string): string[] {
  return rows(heading).map(([cell = '']) => bare(cell));
}

function rows(heading: string): string[][] {
  const [, text = ''] = new RegExp(`^#+ ${heading}\\n([^]*?)(?=^#+ |$(?![^]))`, 'm').exec(page) ?? [];
  expect(text, heading).not.toBe('');
  return tableRows(text);
}

function bare(cell: string): string {
  return cell.replaceAll('`', '');
}

/** The exports of a snippet that imports nothing but types. */
async function run(path: string): Promise<unknown> {
  const { outputText } = ts.transpileModule(code.get(path) ?? '', {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  return import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(outputText)}`);
}
