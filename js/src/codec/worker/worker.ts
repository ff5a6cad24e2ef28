/**
 * The worker script. The first message decides if the worker is the host, one of the host's threads
 * or a helper of the host.
 */
import type { StartMessage, ToWorker } from '../protocol.js';
import { type ServiceMessage, serve } from './helper.js';
import { Host } from './host.js';
import { runThread, type ThreadMessage } from './threads.js';

let host: Host | undefined;

self.addEventListener(
  'message',
  ({ data }: MessageEvent<StartMessage | ThreadMessage | ServiceMessage | ToWorker>) => {
    if (data.type === 'thread') runThread(data);
    else if (data.type === 'service') serve(data);
    else if (data.type === 'start') host = new Host(data);
    else host?.receive(data);
  },
);

self.postMessage({ type: 'loaded' });
