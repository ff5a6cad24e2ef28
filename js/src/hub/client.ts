import { WorkerClient } from '../common/index.js';
import type { Operations, Settings } from './messages.js';

/** The page's end of the worker that talks with a hub. Progress is in bytes. */
export class Client extends WorkerClient<Operations, number> {
  /** Starts the worker and waits until it can be called. */
  static async start(settings: Settings, workerUrl: string | URL | undefined): Promise<Client> {
    // Bundlers recognise a worker by exactly this expression.
    const worker = workerUrl
      ? new Worker(workerUrl, { type: 'module' })
      : new Worker(new URL('./hub-worker.js', import.meta.url), { type: 'module' });
    const script = workerUrl ?? import.meta.url.replace(/[^/]*$/, 'hub-worker.js');
    const client = new Client({ name: "hub's worker", settings, peer: worker, script });
    await client.opened;
    return client;
  }
}
