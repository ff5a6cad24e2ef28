/**
 * The worker script, which serves three kinds of workers: the host, the host's threads, and the
 * helpers of the host. The first message decides.
 */
import type { Port } from '../../common/index.js';
import { type ServiceMessage, serve } from './helper.js';
import { Host } from './host.js';
import { runThread, type ThreadMessage } from './threads.js';

new Host(self as unknown as Port);

self.addEventListener('message', ({ data }: MessageEvent<ThreadMessage | ServiceMessage>) => {
  if (data.type === 'thread') runThread(data);
  else if (data.type === 'service') serve(data);
});
