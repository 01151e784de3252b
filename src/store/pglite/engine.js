// @ts-check
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

// Plain JavaScript, because it is started by its file name: as a worker thread, in which PostgreSQL computes without
// holding up the application, and as a short-lived child process that creates the folder, which takes far more memory
// than using it ever does.

/** @typedef {{ id: number, sql: string, params?: unknown[] } | { id: number, listen: string } | { id: number, close: true }} Request */

/** @param {string | undefined} folder */
async function load(folder) {
  const { PGlite } = await import('@electric-sql/pglite');
  return PGlite.create(folder);
}

/** @param {import('@electric-sql/pglite').PGlite} db @param {Request} request */
async function answer(db, request) {
  if ('listen' in request) {
    const channel = request.listen;
    await db.listen(`"${channel}"`, (payload) => parentPort?.postMessage({ channel, payload }));
    return { rows: [] };
  }
  if ('close' in request) {
    await db.close();
    return { rows: [] };
  }
  if (request.params) return db.query(request.sql, request.params);
  const results = await db.exec(request.sql);
  return results.at(-1) ?? { rows: [] };
}

if (isMainThread) {
  const db = await load(process.argv[2]);
  await db.close();
} else {
  const db = await load(workerData.folder);
  parentPort?.on('message', async (/** @type {Request} */ request) => {
    try {
      const { rows, affectedRows } = /** @type {import('@electric-sql/pglite').Results} */ (await answer(db, request));
      parentPort?.postMessage({ id: request.id, rows, rowCount: affectedRows ?? rows.length });
    } catch (error) {
      // An error's own fields (SQLSTATE, detail) do not survive the way between threads.
      const { message, code, detail } = /** @type {Error & { code?: string, detail?: string }} */ (error);
      parentPort?.postMessage({ id: request.id, error: { message, code, detail } });
    }
  });
  parentPort?.postMessage({ ready: true });
}
