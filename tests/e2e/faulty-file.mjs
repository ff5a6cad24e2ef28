import { gzipSync } from 'node:zlib';
import { rangeOf } from '../../scripts/lib/server.mjs';

/**
 * A file on a server that misbehaves on purpose.
 *
 * `mount` goes into the mounts of `serve`. `next(...faults)` queues faults, one for each of the
 * next requests; `always(fault)` is for every request without a queued fault. Without faults the
 * server behaves well, with ranges and an `ETag`. `log` lists the requests:
 * `{ at, method, range, status, sent }`, where `at` is in milliseconds, `range` is `{ start, end }`
 * or undefined, and `sent` is the number of bytes of the body.
 *
 * A fault is a function that changes a plan: `{ status, headers, start, end, cut, stall, gzip }`.
 * The body is the file from `start` to `end`. After `cut` bytes the connection is closed; after
 * `stall` bytes nothing more is sent.
 */
export class FaultyFile {
  log = [];
  #bytes;
  #queue = [];
  #always = (plan) => plan;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  next(...faults) {
    this.#queue.push(...faults);
    return this;
  }

  always(fault) {
    this.#always = fault;
    return this;
  }

  /** Faults of the next requests. */
  get left() {
    return this.#queue.length;
  }

  mount = (request, response) => {
    const fault = this.#queue.shift() ?? this.#always;
    const plan = fault(goodPlan(request, this.#bytes.length), this.#bytes.length);
    const range = rangeOf(request.headers.range, this.#bytes.length);
    const entry = { at: performance.now(), method: request.method, range, status: plan.status, sent: 0 };
    this.log.push(entry);
    if (plan.status === 0) return response.destroy();
    response.writeHead(plan.status, definedOnly(plan.headers));
    const part = this.#bytes.subarray(plan.start, plan.end);
    const body = plan.gzip ? gzipSync(part) : part;
    if (request.method === 'HEAD') return response.end();
    const stop = Math.min(plan.cut ?? body.length, plan.stall ?? body.length);
    entry.sent = stop;
    if (stop === body.length && plan.cut === undefined && plan.stall === undefined) return response.end(body);
    // A browser that sees the end before it has read the bytes may drop them.
    if (plan.cut !== undefined) setTimeout(() => response.destroy(), 20);
    response.write(body.subarray(0, stop));
    if (stop === 0) response.flushHeaders();
  };
}

function definedOnly(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
}

function goodPlan(request, size) {
  const range = rangeOf(request.headers.range, size);
  if (range && range.start >= size) {
    return { status: 416, headers: { 'content-range': `bytes */${size}` }, start: 0, end: 0 };
  }
  const { start, end } = range ?? { start: 0, end: size };
  const headers = { etag: '"first"', 'content-length': end - start };
  if (range) headers['content-range'] = `bytes ${start}-${end - 1}/${size}`;
  return { status: range ? 206 : 200, headers, start, end };
}

/** The faults. Those with parameters are functions that return a fault. */
export const faults = {
  none: (plan) => plan,
  /** Closes the connection after some bytes of the body. */
  cut: (bytes) => (plan) => ({ ...plan, cut: bytes }),
  /** Stops after some bytes of the body and keeps the connection open. */
  stall: (bytes) => (plan) => ({ ...plan, stall: bytes }),
  /** Closes the connection before the answer. */
  hangUp: (plan) => ({ ...plan, status: 0 }),
  /** Sends the whole file for any request. */
  whole: (plan, size) => ({
    ...plan,
    status: 200,
    headers: { etag: plan.headers.etag, 'content-length': size },
    start: 0,
    end: size,
  }),
  /** Sends the whole file without its length. */
  wholeOfUnknownLength: (plan, size) => ({ ...plan, status: 200, headers: {}, start: 0, end: size }),
  /** Sends a status without a body. */
  status:
    (status, headers = {}) =>
    (plan) => ({ ...plan, status, headers, start: 0, end: 0 }),
  /** Changes headers; those that are undefined are left out. */
  headers: (changes) => (plan) => ({
    ...plan,
    headers: { ...plan.headers, ...changes },
  }),
  /** Compresses the body, even if it starts in the middle of the file. */
  gzip: (plan) => ({
    ...plan,
    gzip: true,
    headers: { ...plan.headers, 'content-encoding': 'gzip', 'content-length': undefined },
  }),
  /** Sends a range that begins elsewhere, with a matching `Content-Range`. */
  shifted: (by) => (plan, size) => {
    const start = Math.min(plan.start + by, plan.end - 1);
    const headers = {
      ...plan.headers,
      'content-range': `bytes ${start}-${plan.end - 1}/${size}`,
      'content-length': plan.end - start,
    };
    return { ...plan, headers, start };
  },
  /** Sends less than was requested, with a matching `Content-Range`. */
  short: (bytes) => (plan, size) => {
    const end = Math.min(plan.end, plan.start + bytes);
    const headers = {
      ...plan.headers,
      'content-range': `bytes ${plan.start}-${end - 1}/${size}`,
      'content-length': end - plan.start,
    };
    return { ...plan, headers, end };
  },
};

/** Returns a fault that changes: `first` for a number of requests, `then` for those that follow. */
export function after(count, first, then) {
  let seen = 0;
  return (...args) => (seen++ < count ? first : then)(...args);
}

/** Returns a generator of numbers from 0 up to `below`, the same on every run. */
export function randomNumbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
