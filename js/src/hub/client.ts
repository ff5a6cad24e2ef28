import { startWorker, WorkerClient } from '../common/index.js';
import type { Operations, Settings } from './messages.js';

/** The page's end of the worker that talks with a hub. Progress is in bytes. */
export class Client extends WorkerClient<Operations, number> {
  /** Starts the worker and waits until it can be called. */
  static async start(settings: Settings, workerUrl: string | URL | undefined): Promise<Client> {
    const started = startWorker({
      name: 'hub-worker.js',
      beside: import.meta.url,
      workerUrl,
      // Bundlers recognise a worker by exactly this expression.
      bundled: () => new Worker(new URL('./hub-worker.js', import.meta.url), { type: 'module' }),
    });
    const client = new Client({ name: "hub's worker", settings, ...started });
    await client.opened;
    return client;
  }
}
