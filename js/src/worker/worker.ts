/** The one worker script. The first message tells whether it is the host or one of the host's threads. */
import type { StartMessage, ToWorker } from '../protocol.js';
import { Host } from './host.js';
import { runThread, type ThreadMessage } from './pool.js';

let host: Host | undefined;

self.addEventListener('message', ({ data }: MessageEvent<StartMessage | ThreadMessage | ToWorker>) => {
  if (data.type === 'thread') void runThread(data);
  else if (data.type === 'start') host = new Host(data);
  else host?.receive(data);
});

self.postMessage({ type: 'loaded' });
