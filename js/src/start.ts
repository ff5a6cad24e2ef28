import { abortError, BitxError, messageOf } from './errors.js';
import { Link } from './link.js';
import type { CreateOptions, Mode } from './types.js';

/** More threads than this bring little and cost memory. */
const MOST_THREADS = 8;

/** Starts the best build that works here. */
export async function startBest(options: CreateOptions): Promise<Link> {
  const threads = wantedThreads(options);
  if (threads > 1 && canShareMemory()) {
    const link = await start('threads', threads, options).catch((error: unknown) => {
      if (options.signal?.aborted) throw error;
      return undefined;
    });
    if (link) return link;
  }
  return startSingle(options);
}

/** Starts the build that needs the least. */
export async function startSingle(options: CreateOptions): Promise<Link> {
  try {
    return await start('single', 1, options);
  } catch (cause) {
    if (options.signal?.aborted) throw abortError(options.signal);
    throw new BitxError('start-failed', messageOf(cause), { cause });
  }
}

function start(mode: Mode, threads: number, { wasmUrl, workerUrl, signal }: CreateOptions): Promise<Link> {
  return Link.start({
    mode,
    threads,
    wasmUrl: wasmUrlOf(mode, wasmUrl),
    workerUrl: workerUrl === undefined ? undefined : absolute(workerUrl),
    signal,
  });
}

function wantedThreads({ threads }: CreateOptions): number {
  if (threads === undefined) return Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new BitxError('invalid-argument', `threads must be a whole number from 1 on, not ${threads}`);
  }
  return threads;
}

/** Some browsers have the type but refuse the memory. */
function canShareMemory(): boolean {
  try {
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    return crossOriginIsolated && buffer instanceof SharedArrayBuffer;
  } catch {
    return false;
  }
}

function wasmUrlOf(mode: Mode, wasmUrl: CreateOptions['wasmUrl']): string | undefined {
  if (wasmUrl === undefined) return undefined;
  if (typeof wasmUrl === 'string' || wasmUrl instanceof URL) {
    const folder = absolute(wasmUrl);
    const file = mode === 'threads' ? 'bitx-threads.wasm' : 'bitx.wasm';
    return new URL(file, folder.endsWith('/') ? folder : `${folder}/`).href;
  }
  const url = wasmUrl[mode];
  return url === undefined ? undefined : absolute(url);
}

/** A worker would resolve a relative URL against its own address. */
function absolute(url: string | URL): string {
  return new URL(url, document.baseURI).href;
}
