import { abortError, BitxError, messageOf } from './errors.js';
import { Link } from './link.js';
import type { Role } from './protocol.js';
import type { CreateOptions, Mode, WasmUrls } from './types.js';

/** More threads than this bring little and cost memory. */
const MOST_THREADS = 8;

/** Starts the best build that works here. */
export async function startBest(role: Role, options: CreateOptions): Promise<Link> {
  const threads = wantedThreads(options);
  if (threads > 1 && canShareMemory()) {
    const link = await start(role, 'threads', threads, options).catch((error: unknown) => {
      if (options.signal?.aborted) throw error;
      return undefined;
    });
    if (link) return link;
  }
  return startSingle(role, options);
}

/** Starts the build that needs the least. */
export async function startSingle(role: Role, options: CreateOptions): Promise<Link> {
  try {
    return await start(role, 'single', 1, options);
  } catch (cause) {
    if (options.signal?.aborted) throw abortError(options.signal);
    throw new BitxError('start-failed', messageOf(cause), { cause });
  }
}

function start(role: Role, mode: Mode, threads: number, options: CreateOptions): Promise<Link> {
  const { wasmUrl, workerUrl, signal } = options;
  return Link.start({
    role,
    mode,
    threads,
    wasmUrl: wasmUrlOf(role, mode, wasmUrl),
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

function wasmUrlOf(role: Role, mode: Mode, wasmUrl: CreateOptions['wasmUrl']): string | undefined {
  if (wasmUrl === undefined) return undefined;
  if (typeof wasmUrl === 'string' || wasmUrl instanceof URL) {
    const folder = absolute(wasmUrl);
    const file = `bitx-${role}${mode === 'threads' ? '-threads' : ''}.wasm`;
    return new URL(file, folder.endsWith('/') ? folder : `${folder}/`).href;
  }
  const key: keyof WasmUrls = mode === 'threads' ? `${role}Threads` : role;
  const url = wasmUrl[key];
  return url === undefined ? undefined : absolute(url);
}

/** A worker would resolve a relative URL against its own address. */
function absolute(url: string | URL): string {
  return new URL(url, document.baseURI).href;
}
