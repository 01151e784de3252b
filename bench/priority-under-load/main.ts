/**
 * How long somebody waits for a priority mail while the same application also delivers bulk mail as fast as it can, in
 * the same process or in another, over a line with a round trip of 20 ms for priority mail and to a local sink for bulk.
 */
import { startRedis } from '../../test/support/redis.js';
import { checkArrivals } from '../lib/arrivals.js';
import { type Report, benchmark } from '../lib/benchmark.js';
import { MailServer } from '../lib/mail-server.js';
import { atLength } from '../lib/quick.js';
import { startSink } from '../lib/sink.js';
import { SlowLine } from '../lib/slow-line.js';
import { App } from './app.js';
import { report } from './report.js';
import { type Phase, ROUND_TRIP, Trial } from './trial.js';

const REPEATS = atLength(3, 1);
const PHASES: readonly Phase[] = ['idle', 'bulk in the same process', 'bulk in another process'];

await benchmark('priority-under-load', async (): Promise<Report> => {
  const [server, sink, redis] = await Promise.all([MailServer.start(), startSink(), startRedis()]);
  const line = await SlowLine.open(server.relay.port, ROUND_TRIP);
  const boot = (database: number) => {
    const relay = { ...server.relay, port: line.port };
    return App.boot({ relay, sink: sink.url, redis: `${redis.url}/${database}` });
  };
  const [app, other] = await Promise.all([boot(0), boot(1)]);
  const trial = new Trial(app, other, line);

  for (let repeat = 1; repeat <= REPEATS; repeat++) {
    for (const phase of PHASES) {
      console.log(`repeat ${repeat} of ${REPEATS}: ${phase}`);
      await trial.run(phase);
    }
  }

  const faults = [...trial.faults, ...checkArrivals(trial.recipients, await server.recipients())];
  const messages = await sink.count();
  if (messages !== trial.bulkSent) faults.push(`${trial.bulkSent} bulk mails were sent, ${messages} arrived`);
  return { ...report(trial.runs), faults };
});
