import { Patience } from '../../common/index.js';
import type { Operations } from '../messages.js';
import { sendPart } from './part.js';
import type { Server } from './server.js';

/** Sends a file in parts, from where the server says on, until all of it is there and has been found right. */
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
      // Where all has come and nobody has heard what became of it, a last part without a byte asks for that.
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
      // A server that loses what it has taken is not waited for without end.
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
