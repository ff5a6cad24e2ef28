/**
 * The worker script of a hub: computes digests and talks to the server, outside the page's thread.
 */
import { type Call, type Port, type Running, WorkerHost } from '../../common/index.js';
import type { Operation, Operations, Settings } from '../messages.js';
import { digestFile } from './digest.js';
import { Server } from './server.js';
import { upload } from './upload.js';

class Host extends WorkerHost<Settings, Operations, number> {
  #server!: Server;

  protected open(settings: Settings): undefined {
    this.#server = new Server(settings);
  }

  protected perform(call: Call<Operations>, { signal, report }: Running<number>): Promise<unknown> {
    if (is(call, 'digest')) return digestFile(call.args, signal, report);
    if (is(call, 'upload')) return upload(this.#server, call.args, signal, report);
    return this.#server.json(call.args as Operations['request']['args'], signal);
  }
}

function is<O extends Operation>(call: Call<Operations>, operation: O): call is Call<Operations, O> {
  return call.operation === operation;
}

new Host(self as unknown as Port);
