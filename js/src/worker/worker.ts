/** The one worker script. The first message tells whether it is the host, one of its threads or its reader. */
import type { StartMessage, ToWorker } from '../protocol.js';
import { Host } from './host.js';
import { runThread, type ThreadMessage } from './pool.js';
import { answerRead, type ReadMessage } from './slices.js';

let host: Host | undefined;

self.addEventListener(
  'message',
  ({ data }: MessageEvent<StartMessage | ThreadMessage | ReadMessage | ToWorker>) => {
    if (data.type === 'thread') void runThread(data);
    else if (data.type === 'read') void answerRead(data);
    else if (data.type === 'start') host = new Host(data);
    else host?.receive(data);
  },
);

self.postMessage({ type: 'loaded' });
