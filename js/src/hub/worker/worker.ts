/**
 * The worker script of a hub: computes digests and talks to the server, outside the page's thread.
 */
import { abortError, toWire } from '../../common/index.js';
import type { FromWorker, Operations, Settings, ToWorker } from '../messages.js';
import { digestFile } from './digest.js';
import { Server } from './server.js';
import { upload } from './upload.js';

const aborts = new Map<number, AbortController>();
let server: Server;

self.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === 'open') open(data.settings);
  else if (data.type === 'abort') aborts.get(data.id)?.abort();
  else void run(data);
});
send({ type: 'loaded' });

function open(settings: Settings): void {
  server = new Server(settings);
  send({ type: 'opened', opened: undefined });
}

async function run(call: ToWorker & { type: 'call' }): Promise<void> {
  const { id } = call;
  const abort = new AbortController();
  aborts.set(id, abort);
  try {
    const result = await perform(call, abort.signal, (loaded) =>
      send({ type: 'progress', id, progress: loaded }),
    );
    send({ type: 'done', id, result });
  } catch (error) {
    send({ type: 'error', id, error: toWire(abort.signal.aborted ? abortError(abort.signal) : error) });
  } finally {
    aborts.delete(id);
  }
}

function perform(
  { operation, args }: ToWorker & { type: 'call' },
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<unknown> {
  if (operation === 'digest') {
    return digestFile(args as Operations['digest']['args'], signal, report);
  }
  if (operation === 'upload') return upload(server, args as Operations['upload']['args'], signal, report);
  return server.json(args as Operations['request']['args'], signal);
}

function send(message: FromWorker): void {
  self.postMessage(message);
}
