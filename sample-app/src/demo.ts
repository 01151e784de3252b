import { refuseSecond, run } from './demo/run.js';
import { Undo } from './demo/undo.js';

const once = process.argv.includes('--once');
const undo = new Undo();

const end = (code: number): void => {
  if (!undo.begun)
    console.log(once ? '\n  Ending.' : '\n  Ending. Mails that are still queued leave at the next start.');
  void undo.exit(process.exitCode ?? code);
};
process.on('SIGINT', () => end(130));
process.on('SIGTERM', () => end(143));

try {
  if (!once) await refuseSecond();
  process.exitCode = (await run(once, undo)) ? 0 : 1;
  if (once) await undo.exit(process.exitCode);
} catch (error) {
  // What fails because Ctrl-C has closed it needs no message.
  if (!undo.begun) console.error(`\n  ${(error as Error).message}\n`);
  await undo.exit(1);
}
