import { instantiate } from '../../codec/worker/instance.js';
import { BitxError, messageOf } from '../../common/index.js';

let loading: Promise<void> | undefined;

/** Loads the single-threaded build once; after a failure the next call tries again. */
export function loadCore(wasmUrl: string | URL | undefined): Promise<void> {
  loading ??= load(wasmUrl ?? new URL('./bitx-restore.wasm', import.meta.url)).catch((cause: unknown) => {
    loading = undefined;
    throw new BitxError('start-failed', messageOf(cause), { cause });
  });
  return loading;
}

async function load(url: string | URL): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered with status ${response.status}`);
  instantiate(await WebAssembly.compile(await response.arrayBuffer()));
}
