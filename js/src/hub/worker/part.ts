import { abortError, type BitxError, onAbort, Transient } from '../../common/index.js';
import { ANSWER_LIMIT_MS, refusalOf } from './server.js';

/** The statuses for a part at the wrong offset, after which the hub is asked for the right one. */
const OUT_OF_STEP = [409, 416];

/** A part of an upload. */
export interface Part {
  url: string;
  headers: Record<string, string>;
  body: Blob;
  /** Milliseconds without a byte after which the connection counts as broken. */
  stallTimeout: number;
  signal: AbortSignal;
  /** Called with the number of bytes sent. */
  report(loaded: number): void;
}

/**
 * Sends a part. It uses XMLHttpRequest, because only that reports how many bytes have been sent,
 * and so shows a stalled upload.
 */
export async function sendPart(part: Part): Promise<void> {
  const { url, headers, body, stallTimeout, signal, report } = part;
  if (signal.aborted) throw abortError(signal);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = new XMLHttpRequest();
  const fail = (error: BitxError) => {
    reject(error);
    request.abort();
  };
  const stop = () => fail(abortError(signal));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const allow = (ms: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => fail(broken(url, `nothing was sent or received for ${ms / 1000} s`)), ms);
  };
  request.open('PUT', url);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded }) => {
    allow(stallTimeout);
    report(Math.min(loaded, body.size));
  };
  request.upload.onload = () => allow(ANSWER_LIMIT_MS);
  request.onerror = () => fail(broken(url, 'the connection broke'));
  request.onload = () => (request.status < 300 ? resolve() : reject(refused(url, request)));
  const forget = onAbort(signal, stop);
  allow(body.size > 0 ? stallTimeout : ANSWER_LIMIT_MS);
  request.send(body);
  return promise.finally(() => {
    clearTimeout(timer);
    forget();
  });
}

function refused(url: string, request: XMLHttpRequest): BitxError {
  const { status, responseText } = request;
  if (OUT_OF_STEP.includes(status)) return broken(url, 'the hub expects another part of the file');
  return refusalOf(url, status, request.getResponseHeader('retry-after'), responseText);
}

function broken(url: string, why: string): Transient {
  return new Transient(`${url}: ${why}`, { url });
}
