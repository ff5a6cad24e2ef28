/** The one worker script. The first message tells whether it is the host, one of its threads or what reads or writes for it. */
import type { StartMessage, ToWorker } from '../protocol.js';
import { answerIo, type IoMessage } from './helper.js';
import { Host } from './host.js';
import { runThread, type ThreadMessage } from './pool.js';

let host: Host | undefined;

self.addEventListener(
  'message',
  ({ data }: MessageEvent<StartMessage | ThreadMessage | IoMessage | ToWorker>) => {
    if (data.type === 'thread') runThread(data);
    else if (data.type === 'io') answerIo(data);
    else if (data.type === 'start') host = new Host(data);
    else host?.receive(data);
  },
);

self.postMessage({ type: 'loaded' });
