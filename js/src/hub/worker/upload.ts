import { Patience } from '../../common/index.js';
import type { Operations } from '../messages.js';
import { sendPart } from './part.js';
import type { Server } from './server.js';

/**
 * Sends a file in parts, from the offset that the server tells, until the server has verified all
 * of it.
 */
export async function upload(
  server: Server,
  { path, blob }: Operations['upload']['args'],
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<undefined> {
  const { partSize, stallTimeout } = server.settings;
  const patience = new Patience(server.settings, signal);
  let offset: number | undefined;
  let furthest = 0;
  for (;;) {
    try {
      offset ??= await server.offset(path, signal);
      report(offset);
      // If all bytes have arrived but the answer was lost, an empty part requests the result.
      const start = Math.min(offset, blob.size);
      const end = Math.min(blob.size, start + partSize);
      const range = start < end ? `${start}-${end - 1}` : '*';
      await sendPart({
        url: server.address(path),
        headers: {
          ...server.headers,
          ...(blob.size > 0 && { 'content-range': `bytes ${range}/${blob.size}` }),
        },
        body: blob.slice(start, end),
        ...{ stallTimeout, signal },
        report: (loaded) => report(start + loaded),
      });
      // Only new bytes renew the patience, so that a server that loses bytes is not retried
      // forever.
      if (end > furthest) patience.renew();
      furthest = Math.max(furthest, end);
      offset = end;
      if (end === blob.size) return;
    } catch (error) {
      offset = undefined;
      await patience.after(error);
    }
  }
}
