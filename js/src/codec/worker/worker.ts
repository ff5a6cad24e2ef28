/** The one worker script. The first message tells whether it is the host, one of its threads or what serves it. */
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
