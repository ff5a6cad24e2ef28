import {
  abortError,
  absolute,
  BitxError,
  checkChoice,
  checkWhole,
  messageOf,
  requireWorkers,
} from '../common/index.js';
import { Link } from './link.js';
import type { Role } from './protocol.js';
import type { CreateOptions, Mode, WasmUrls } from './types.js';

/** The most threads by default. More of them gain little and cost memory. */
const MOST_THREADS = 8;

/** The most workers that compress without shared memory. Each needs up to 100 MB. */
const MOST_APART = 4;

/** The modes, in the order in which they are tried. */
const MODES: Mode[] = ['threads', 'pool', 'single'];

/** Returns the mode to continue with after a fault. */
export function nextMode(mode: Mode): Mode {
  return MODES[MODES.indexOf(mode) + 1] ?? 'single';
}

/** Starts a worker in the best mode that works here, from `best` on. */
export async function start(role: Role, best: Mode, options: CreateOptions): Promise<Link> {
  const { wasmUrl, workerUrl, signal } = options;
  checkChoice('mode', best, MODES);
  requireWorkers('Bitx');
  checkWhole(options, 'threads', 1);
  const { threads = Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) } = options;
  const possible = {
    threads: threads > 1 && canShareMemory(),
    pool: threads > 1,
    single: true,
  };
  let cause: unknown;
  for (const mode of MODES.slice(MODES.indexOf(best))) {
    if (!possible[mode]) continue;
    try {
      return await Link.start({
        role,
        mode,
        threads:
          mode === 'single'
            ? 1
            : mode === 'pool' && role === 'compress'
              ? Math.min(threads, MOST_APART)
              : threads,
        wasmUrl: wasmUrlOf(role, mode, wasmUrl),
        workerUrl,
        signal,
      });
    } catch (error) {
      if (signal?.aborted) throw abortError(signal);
      cause = error;
    }
  }
  throw new BitxError('start-failed', messageOf(cause), { cause });
}

/** Returns `true` if memory can be shared. Some browsers have the type but refuse the memory. */
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
