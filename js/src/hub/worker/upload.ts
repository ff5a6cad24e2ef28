import { Patience, Transient } from '../../cache/worker/patience.js';
import { abortError } from '../../errors.js';
import type { Operations } from '../messages.js';
import { ANSWER_LIMIT_MS, refusal, type Server } from './server.js';

/** Answers to a part that does not go on where the last one ended; the server tells where that is. */
const OUT_OF_STEP = [409, 416];

/** Sends a file in parts, from where the server says on, until all of it is there and has been found right. */
export async function upload(
  server: Server,
  { path, blob }: Operations['upload']['args'],
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<undefined> {
  const { partSize } = server.settings;
  const patience = new Patience(server.settings, signal);
  let offset: number | undefined;
  for (;;) {
    try {
      offset ??= await server.offset(path, signal);
      report(offset);
      // Where all has come and nobody has heard what became of it, a last part without a byte asks for that.
      const start = Math.min(offset, blob.size);
      const end = Math.min(blob.size, start + partSize);
      await send(server, path, blob, { start, end }, signal, (loaded) => report(start + loaded));
      patience.renew();
      offset = end;
      if (end === blob.size) return;
    } catch (error) {
      offset = undefined;
      await patience.after(error);
    }
  }
}

/** Sends one part. XMLHttpRequest alone tells how much has left, and so when nothing leaves any more. */
function send(
  server: Server,
  path: string,
  blob: Blob,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
  report: (loaded: number) => void,
): Promise<void> {
  const url = server.address(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = new XMLHttpRequest();
  const broken = (why: string) => reject(new Transient(`${url}: ${why}`, { url }));
  const stop = () => {
    reject(abortError(signal));
    request.abort();
  };
  let timer: ReturnType<typeof setTimeout>;
  const limit = (ms: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      broken(`nothing happened for ${ms / 1000} s`);
      request.abort();
    }, ms);
  };
  request.open('PUT', url);
  for (const [name, value] of Object.entries(server.headers)) request.setRequestHeader(name, value);
  const range = start < end ? `${start}-${end - 1}` : '*';
  if (blob.size > 0) request.setRequestHeader('content-range', `bytes ${range}/${blob.size}`);
  request.upload.onprogress = ({ loaded }) => {
    limit(server.settings.stallTimeout);
    report(Math.min(loaded, end - start));
  };
  request.upload.onload = () => limit(ANSWER_LIMIT_MS);
  request.onerror = () => broken('the connection broke');
  request.onload = () => {
    const { status } = request;
    if (status < 300) resolve();
    else if (OUT_OF_STEP.includes(status)) broken(`the part from byte ${start} on was refused`);
    else
      reject(
        refusal(url, { status, header: (name) => request.getResponseHeader(name) }, request.responseText),
      );
  };
  signal.addEventListener('abort', stop);
  limit(server.settings.stallTimeout);
  request.send(blob.slice(start, end));
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  });
}
