/** A server of models that misbehaves on request, and keeps a log of its requests. */
export class Origin {
  /** The bytes by name. */
  files = new Map();
  /** `(hit) => fault`, called for every request; see `answer` for the faults. */
  fault = () => undefined;
  /** All requests: `{ method, name, range, status, sent }`. */
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

  /** The number of bytes of bodies sent so far. */
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
 * Answers a request. A fault may change the status or the headers, send other bytes, ignore the
 * range, cut the connection or stop after some bytes, wait between pieces, or append bytes that
 * were not announced.
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
  // A connection that is reset may lose bytes that the other side has not read yet.
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

/** Returns the start of the range that a request asks for. */
export const startOf = ({ range }) => Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0);

/**
 * Returns a fault for all ranges from a place of the file on: the server stops after some bytes. It
 * goes by place and not by turn, since concurrent transfers overtake each other.
 */
export const silentFrom = (place, stallAfter) => (hit) =>
  startOf(hit) >= place ? { stallAfter } : undefined;

/** Returns a generator of numbers from 0 to 1, the same for the same seed. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Returns random bytes, the same for the same seed. */
export function randomBytes(size, seed) {
  const random = generator(seed);
  return Buffer.from(
    Uint32Array.from({ length: Math.ceil(size / 4) }, () => random() * 2 ** 32).buffer,
    0,
    size,
  );
}
