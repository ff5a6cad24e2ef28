/** A server of models that misbehaves where a test tells it to, and keeps a log of what it was asked for. */
export class Origin {
  /** Name to bytes. */
  files = new Map();
  /** `(hit) => fault`, asked at every request; see `answer` for what a fault may be. */
  fault = () => undefined;
  /** Every request: `{ method, name, range, status, sent }`. */
  log = [];

  /** Serves bytes under a name and returns their path. */
  put(name, bytes) {
    this.files.set(name, bytes);
    return `/m/${name}`;
  }

  /** Forgets faults and the log. */
  reset() {
    this.fault = () => undefined;
    this.log = [];
  }

  /** Bytes sent as parts of the body so far. */
  get sent() {
    return this.log.reduce((sum, { sent }) => sum + sent, 0);
  }

  handler = async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const name = decodeURIComponent(pathname.slice('/m/'.length));
    const bytes = this.files.get(name);
    if (!bytes) return response.writeHead(404).end();
    const { range, ...headers } = request.headers;
    const { method, url } = request;
    const hit = { method, name, range, headers, url, nth: this.log.length, status: 0, sent: 0 };
    this.log.push(hit);
    const fault = (await this.fault(hit)) ?? {};
    await answer(hit, bytes, fault, response);
  };
}

/**
 * Answers a request. A fault may change the status or the headers, give other bytes, ignore the range, cut the
 * connection or fall silent after some bytes, wait between pieces, or add bytes that were not announced.
 */
async function answer(hit, all, fault, response) {
  const range = fault.ignoreRange ? undefined : rangeOf(hit.range, all.length);
  if (range && range.start >= all.length) {
    hit.status = 416;
    return response.writeHead(416, { 'content-range': `bytes */${all.length}` }).end();
  }
  const { start = 0, end = all.length } = range ?? {};
  const body = fault.body ?? all.subarray(start, end);
  hit.status = fault.status ?? (range ? 206 : 200);
  const headers = {
    'content-type': 'application/octet-stream',
    etag: '"v1"',
    ...(fault.extra ? {} : { 'content-length': body.length }),
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${all.length}` }),
    ...fault.headers,
  };
  response.writeHead(hit.status, defined(headers));
  if (hit.method === 'HEAD') return response.end();
  response.flushHeaders();
  await send(hit, fault.extra ? Buffer.concat([body, fault.extra]) : body, fault, response);
}

async function send(hit, body, { cutAfter, linger, stallAfter, delay, piece = 1 << 16 }, response) {
  const last = Math.min(body.length, cutAfter ?? Infinity, stallAfter ?? Infinity);
  for (let at = 0; at < last && !response.destroyed; at += piece) {
    const part = body.subarray(at, Math.min(last, at + piece));
    hit.sent += part.length;
    await new Promise((resolve) => response.write(part, resolve));
    if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
  }
  if (stallAfter !== undefined && stallAfter < body.length) return;
  if (cutAfter === undefined || cutAfter >= body.length) return response.end();
  // A connection that is reset may take with it what the other side has not read yet.
  if (linger) await new Promise((resolve) => setTimeout(resolve, linger));
  response.destroy();
}

function rangeOf(header, size) {
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(header ?? '') ?? [];
  return start === undefined
    ? undefined
    : { start: Number(start), end: Math.min(Number(end) + 1, Math.max(size, Number(start))) };
}

function defined(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
}

/** Returns the start of the part that a request asks for. */
export const startOf = ({ range }) => Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0);

/**
 * A fault of all parts from a place of the file on: silence after some bytes. By place and not by turn, for transfers side
 * by side overtake each other.
 */
export const silentFrom = (place, stallAfter) => (hit) =>
  startOf(hit) >= place ? { stallAfter } : undefined;

/** Numbers from 0 to 1 that are the same for the same seed. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Bytes of no pattern, the same for the same seed. */
export function randomBytes(size, seed) {
  const random = generator(seed);
  return Buffer.from(
    Uint32Array.from({ length: Math.ceil(size / 4) }, () => random() * 2 ** 32).buffer,
    0,
    size,
  );
}
