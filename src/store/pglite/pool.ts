import { EventEmitter } from 'node:events';
import type { SqlClient, SqlPool, SqlResult } from '../store.js';
import type { Database } from './database.js';

/** The statement may stand behind comments. */
const LISTEN = /^(?:\s*--.*\n)*\s*LISTEN\s+"?(\w+)"?\s*;?\s*$/i;

/** One embedded database in the shape of a `pg.Pool`. Its clients share the one session there is. */
export class EmbeddedPool extends EventEmitter implements SqlPool {
  /** pg's option of that name: BullMQ then trusts that a notification arrives, and polls seldom. */
  readonly options = { keepAlive: true };
  private readonly clients = new Set<EmbeddedClient>();

  /** @param open opens the database on first use */
  constructor(private readonly open: () => Promise<Database>) {
    super();
  }

  async query(text: string, params?: readonly unknown[]): Promise<SqlResult> {
    const database = await this.open();
    return database.query(text, params);
  }

  async connect(): Promise<SqlClient> {
    const client = new EmbeddedClient(await this.open(), () => this.clients.delete(client));
    this.clients.add(client);
    return client;
  }

  notify(channel: string, payload: string): void {
    for (const client of this.clients) client.emit('notification', { channel, payload });
  }

  end(): Promise<void> {
    this.clients.clear();
    return Promise.resolve();
  }
}

class EmbeddedClient extends EventEmitter implements SqlClient {
  constructor(
    private readonly database: Database,
    readonly release: () => void,
  ) {
    super();
  }

  query(text: string, params?: readonly unknown[]): Promise<SqlResult> {
    const listen = LISTEN.exec(text);
    return listen ? this.database.listen(listen[1]!) : this.database.query(text, params);
  }
}
