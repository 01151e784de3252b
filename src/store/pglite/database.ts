import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { SqlQueryable, SqlResult } from '../store.js';

const SCRIPT = new URL('./engine.js', import.meta.url);

type Reply =
  | { ready: true }
  | { channel: string; payload: string }
  | ({ id: number } & SqlResult)
  | { id: number; error: { message: string; code?: string; detail?: string } };

export interface DatabaseListener {
  notify(channel: string, payload: string): void;
  /** It ended without having been closed. */
  ended(): void;
}

interface Pending {
  resolve: (result: SqlResult) => void;
  reject: (error: Error) => void;
}

/** Creates the database in an empty folder. */
export async function createDatabase(folder: string): Promise<void> {
  await promisify(execFile)(process.execPath, [fileURLToPath(SCRIPT), folder]);
}

/** A PGlite database in a thread of its own: one session, whose statements run one after the other. */
export class Database implements SqlQueryable {
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private ended: Error | undefined;
  private state: 'starting' | 'open' | 'closing' = 'starting';

  private constructor(
    private readonly thread: Worker,
    private readonly listener: DatabaseListener,
  ) {}

  /** @param folder undefined keeps the data in memory */
  static async start(folder: string | undefined, listener: DatabaseListener): Promise<Database> {
    const thread = new Worker(SCRIPT, { workerData: { folder }, execArgv: [] });
    const database = new Database(thread, listener);
    await new Promise<void>((resolve, reject) => {
      thread.on('message', (reply: Reply) => ('ready' in reply ? resolve() : database.receive(reply)));
      thread.on('error', (error) => {
        database.end(error);
        reject(error);
      });
      thread.on('exit', (code) => {
        const error = new Error(`The embedded database ended (exit code ${code})`);
        database.end(error);
        reject(error);
      });
    });
    database.state = 'open';
    return database;
  }

  query(sql: string, params?: readonly unknown[]): Promise<SqlResult> {
    return this.request(params ? { sql, params } : { sql });
  }

  listen(channel: string): Promise<SqlResult> {
    return this.request({ listen: channel });
  }

  async close(): Promise<void> {
    if (this.ended) return;
    this.state = 'closing';
    await this.request({ close: true });
    await this.thread.terminate();
  }

  private request(body: object): Promise<SqlResult> {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.pending.set(id, { resolve, reject });
      this.thread.postMessage({ id, ...body });
    });
  }

  private receive(reply: Exclude<Reply, { ready: true }>): void {
    if ('channel' in reply) return this.listener.notify(reply.channel, reply.payload);
    const pending = this.pending.get(reply.id);
    this.pending.delete(reply.id);
    if (!pending) return;
    if ('error' in reply) pending.reject(Object.assign(new Error(reply.error.message), reply.error));
    else pending.resolve(reply);
  }

  private end(error: Error): void {
    if (!this.ended && this.state === 'open') this.listener.ended();
    this.ended ??= error;
    for (const { reject } of this.pending.values()) reject(this.ended);
    this.pending.clear();
  }
}
