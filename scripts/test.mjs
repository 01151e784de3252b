import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildIfStale } from './lib/build.mjs';
import { runChecks } from './lib/checks.mjs';
import { unpackDebianPackages } from './lib/debian-packages.mjs';
import { installDependencies } from './lib/dependencies.mjs';
import { installServers } from './lib/install-servers.mjs';
import { tool } from './lib/root.mjs';
import { runNode } from './lib/run.mjs';
import { SectionFailure, main, section } from './lib/section.mjs';
import { isAvailable, servers } from './lib/servers.mjs';

const filter = process.argv.slice(2);
const inCi = Boolean(process.env.CI) && process.env.CI !== 'false';
const vitest = [tool('vitest/vitest.mjs'), 'run'];

await main(filter.length > 0 ? runSome : runAll);

/** `npm test`: everything that has to be good before a change goes in. */
async function runAll() {
  await installDependencies();
  // The check of the package builds it, while others run.
  await runChecks();
  await section('Servers', findServers);
  await runTests();
}

/** `npm test -- some.test.ts`: those tests alone, with vitest's own output. */
async function runSome() {
  await installDependencies();
  await buildIfStale().catch(() => console.log('dist could not be built: tests of the built package will fail.'));
  await findServers();
  process.exitCode = (await runNode([...vitest, ...filter], { show: true })).code;
}

/** Makes sure of every server the tests talk to. Only some may be missing, and only outside CI. */
async function findServers() {
  const missing = () => Object.values(servers).filter((server) => !isAvailable(server));
  await installServers(missing());
  const problem = await unpackDebianPackages();
  if (problem && inCi) throw new SectionFailure(problem);
  if (problem) console.log(problem);
  const wanted = missing().filter((server) => server !== servers.smtpSink || inCi);
  if (wanted.length === 0) return;
  const lines = wanted.map(({ name, program, url, apt, brew }) => {
    const instead = url ? `, or set ${url} to a server that tests may fill (those that stop it will fail)` : '';
    return `  ${name} (${program}): apt-get install ${apt}, or brew install ${brew}${instead}`;
  });
  throw new SectionFailure(`The tests need servers that are not on this machine:\n${lines.join('\n')}`);
}

async function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'vitest-'));
  const report = join(folder, 'report.json');
  try {
    const result = await section('Tests', async () => {
      const { code, output } = await runNode(vitest, { env: { TEST_REPORT: report } });
      if (!existsSync(report)) throw new SectionFailure(output.trim());
      if (code !== 0) throw new SectionFailure(`${output.trim()}\n${summary(report)}`);
      return { skipped: skippedTests(report), line: summary(report) };
    });
    for (const name of result.skipped) console.log(`skipped: ${name}`);
    console.log(result.line);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} report the file vitest's JSON reporter wrote */
function summary(report) {
  const { numPassedTests, numFailedTests } = readReport(report);
  return `${numPassedTests} passed, ${numFailedTests} failed`;
}

/** @param {string} report */
function skippedTests(report) {
  return readReport(report)
    .testResults.flatMap((file) => file.assertionResults)
    .filter(({ status }) => status !== 'passed')
    .map(({ fullName }) => fullName);
}

/**
 * @param {string} report
 * @returns {{ numPassedTests: number, numFailedTests: number,
 *   testResults: { assertionResults: { status: string, fullName: string }[] }[] }}
 */
function readReport(report) {
  return JSON.parse(readFileSync(report, 'utf8'));
}
