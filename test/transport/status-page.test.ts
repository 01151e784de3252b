import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { statusPage } from '../../src/transport/probes/status-page.js';
import { atEnd } from '../support/cleanup.js';
import { Listener } from '../support/listener.js';

let respond: (response: ServerResponse, request: IncomingMessage) => unknown;
let listener: Listener;
const server = createServer((request, response) => void respond(response, request));

beforeAll(async () => {
  listener = await Listener.open(server);
  atEnd(() => server.closeAllConnections());
});
afterAll(() => listener.pause());

const ask = (token?: string, signal = new AbortController().signal) =>
  statusPage(new URL(`http://127.0.0.1:${listener.port}/status`), token)(signal);

it('gives the figures that it knows, and how long the answer took', async () => {
  const status = { load: 0.5, freeMemory: 40.1, freeDisk: 80, queue: 3, cores: 4, mailServer: 'postfix', at: 'now' };
  respond = (response) => response.end(JSON.stringify(status));
  expect(await ask()).toEqual({
    load: 0.5,
    freeMemory: 40.1,
    freeDisk: 80,
    queue: 3,
    latency: expect.any(Number) as number,
  });
});

it('may lack figures, or have none for them', async () => {
  respond = (response) => response.end('{"load":0,"queue":null}');
  expect(await ask()).toEqual({ load: 0, latency: expect.any(Number) as number });
});

it.each([
  ['s3cret-s3cret-s3cret', 'Bearer s3cret-s3cret-s3cret'],
  [undefined, undefined],
])('is asked with the token %s', async (token, expected) => {
  let sent: string | undefined;
  respond = (response, request) => {
    sent = request.headers.authorization;
    response.end('{"load":0}');
  };
  await ask(token);
  expect(sent).toBe(expected);
});

it.each<[string, (response: ServerResponse) => unknown, string]>([
  ['a wrong token', (response) => response.writeHead(401).end(), 'The status agent answered 401; see its token'],
  ['an error', (response) => response.writeHead(500).end('x'.repeat(100_000)), 'The status agent answered 500'],
  ['nothing new', (response) => response.writeHead(204).end(), 'The status agent answered 204'],
  ['another place', (response) => response.writeHead(302, { location: '/healthz' }).end(), 'unexpected redirect'],
  ['HTML', (response) => response.end('<p>s3cret</p>'), 'The status is not a JSON object'],
  ['no object', (response) => response.end('null'), 'The status is not a JSON object'],
  ['nothing', (response) => response.end(), 'The status is not a JSON object'],
  [
    'no figure',
    (response) => response.end('{"status":"ok"}'),
    'The status has none of load, freeMemory, freeDisk, queue',
  ],
  ['text for a number', (response) => response.end('{"load":"0.5"}'), 'The status has a load that is no number from 0'],
  ['less than nothing', (response) => response.end('{"queue":-1}'), 'The status has a queue that is no number from 0'],
  ['more than all', (response) => response.end('{"freeDisk":101}'), 'a freeDisk that is no number from 0 to 100'],
  ['too much', (response) => response.end(`{"load":${' '.repeat(65_536)}1}`), 'The status is longer than 65536 bytes'],
  ['an end in the middle', (response) => response.write('{"load":', () => response.destroy()), 'other side closed'],
])('refuses %s', async (_, answer, expected) => {
  respond = answer;
  await expect(ask()).rejects.toThrow(expected);
});

it('is not waited for longer than the signal says', async () => {
  const late = new AbortController();
  respond = () => late.abort(new Error('No answer within 5000 ms'));
  await expect(ask(undefined, late.signal)).rejects.toThrow('No answer within 5000 ms');
});

it('tells why there is nobody', async () => {
  listener.pause();
  server.closeAllConnections();
  await expect(ask()).rejects.toThrow(/ECONNREFUSED|other side closed/);
  await listener.resume();
});
