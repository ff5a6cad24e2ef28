import { initSync, wbg_rayon_start_worker } from '../../../generated/compress-threads/bitx_wasm.js';
import { spawn } from './spawn.js';

/**
 * The thread workers of the threaded builds. This stands in for the helper script of wasm-bindgen-rayon: here a
 * thread runs the very script that the host runs, so that a bundler sees one worker and not two.
 */
export interface ThreadMessage {
  type: 'thread';
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  receiver: number;
  alarm: string;
}

interface PoolBuilder {
  numThreads(): number;
  receiver(): number;
  build(): void;
}

let alarm = '';
/** Firefox collects workers that share memory unless somebody holds them. */
const threads: Worker[] = [];

/** Names the channel on which dying threads are reported. */
export function setAlarm(name: string): void {
  alarm = name;
}

/** Called by the wasm when a pool is asked for. */
export async function startWorkers(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  builder: PoolBuilder,
): Promise<void> {
  const message: ThreadMessage = { type: 'thread', module, memory, receiver: builder.receiver(), alarm };
  const count = builder.numThreads();
  threads.push(...(await Promise.all(Array.from({ length: count }, () => startThread(message)))));
  builder.build();
}

/** The life of a thread worker: it computes until the host is terminated. */
export function runThread({ module, memory, receiver, alarm }: ThreadMessage): void {
  try {
    initSync({ module, memory });
    postMessage('running');
    wbg_rayon_start_worker(receiver);
  } catch (error) {
    // The host may be blocked, waiting for this very thread; only the page can still act.
    new BroadcastChannel(alarm).postMessage(String(error));
  }
}

async function startThread(message: ThreadMessage): Promise<Worker> {
  const worker = await spawn();
  const running = new Promise<Worker>((resolve) => {
    worker.onmessage = () => resolve(worker);
  });
  worker.postMessage(message);
  return running;
}
