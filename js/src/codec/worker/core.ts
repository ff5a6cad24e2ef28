import type { Role } from '../protocol.js';
import type { Mode } from '../types.js';
import { instantiate } from './instance.js';

/** The core's exports, which are the same in every build. */
export {
  checkManifest,
  initThreadPool as startPool,
  Job,
  Layout,
} from '../../../generated/compress-threads/bitx_wasm.js';

/** The wasm files beside this script, as URLs in a form that bundlers recognise. */
const FILES: Record<Role, Record<Exclude<Mode, 'pool'>, URL>> = {
  restore: {
    single: new URL('./bitx-restore.wasm', import.meta.url),
    threads: new URL('./bitx-restore-threads.wasm', import.meta.url),
  },
  compress: {
    single: new URL('./bitx-compress.wasm', import.meta.url),
    threads: new URL('./bitx-compress-threads.wasm', import.meta.url),
  },
};

/** Fetches and compiles one build; the URL defaults to the file beside this script. */
export async function loadCore(role: Role, mode: Mode, url: string | undefined): Promise<WebAssembly.Module> {
  const shared = mode === 'threads';
  const module = await compile(url ?? FILES[role][shared ? mode : 'single']);
  instantiate(module, shared);
  return module;
}

/**
 * Compiles a wasm file. Many servers do not send its content type, which streaming compilation
 * needs.
 */
async function compile(url: string | URL): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered with status ${response.status}`);
  return response.headers.get('content-type') === 'application/wasm'
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}
