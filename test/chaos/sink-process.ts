/**
 * A mail server that writes down each message before it answers, so that its own death loses nothing it has said yes to:
 * `sink-process.ts '<port>' '<log>' '<seed>'`. Each line of the log: when, who, recipient, Message-ID, and whether it was answered.
 */
import { openSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { Conversation, type MailServer } from './conversation.js';
import { moodFor } from './moods.js';

const [port, path, seed] = process.argv.slice(2);
const log = openSync(path!, 'a');
const attempts = new Map<string, number>();

const server: MailServer = {
  moodFor(recipient) {
    const attempt = attempts.get(recipient) ?? 0;
    attempts.set(recipient, attempt + 1);
    return moodFor(Number(seed), recipient, attempt);
  },
  accept({ client, recipient, messageId, answered }) {
    writeSync(log, `${Date.now()} ${client} ${recipient} ${messageId} ${answered ? 1 : 0}\n`);
  },
};

createServer({ noDelay: true }, (socket) => new Conversation(socket, server)).listen(Number(port), '127.0.0.1', () =>
  console.log('listening'),
);
