import { absolute } from '../address.js';
import type { Peer } from './worker-client.js';

/** The script of a worker, and the ways to find it. */
export interface WorkerScript {
  /** The name of the script. */
  name: string;
  /** The address of the script that starts the worker, which is beside it unless it was moved. */
  beside: string;
  /** The address that the caller gave. */
  workerUrl: string | URL | undefined;
  /** Starts the worker by the expression that bundlers recognise. */
  bundled(): Peer;
}

/** Starts a worker; `script` is the address of its script, unless a bundler knows it. */
export function startWorker({ name, beside, workerUrl, bundled }: WorkerScript): {
  peer: Peer;
  script: string;
} {
  const [server, moved] = beside.split('node_modules/.vite/deps/');
  // Vite's development server bundles the package into a folder of its own, without its workers.
  const own = moved ? `${server}@id/bitx-wasm/${name}?worker_file&type=module` : new URL(name, beside).href;
  const script = workerUrl ? absolute(workerUrl) : own;
  const foreign = /^http/.test(script) && !script.startsWith(`${location.origin}/`);
  const known = workerUrl || moved || foreign;
  return {
    peer: known ? new Worker(foreign ? importing(script) : script, { type: 'module' }) : bundled(),
    script,
  };
}

/**
 * Returns the address of a script that imports one of another origin, of which browsers start no
 * worker.
 */
function importing(script: string): string {
  return URL.createObjectURL(new Blob([`import "${script}"`], { type: 'text/javascript' }));
}
