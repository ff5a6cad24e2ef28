import { initSync, wbg_rayon_start_worker } from '../../../generated/compress-threads/bitx_wasm.js';
import { spawn } from './spawn.js';

/**
 * The message that starts a thread worker of the threaded builds. Threads run the same script as
 * the host, so that bundlers see only one. This replaces the helper script of wasm-bindgen-rayon.
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
/** The running threads. Firefox ends workers that share memory unless something refers to them. */
const threads: Worker[] = [];

/** Sets the name of the channel on which dying threads report. */
export function setAlarm(name: string): void {
  alarm = name;
}

/** Starts the workers of a thread pool. The wasm calls this function. */
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

/** Runs a thread worker, which computes until the host is terminated. */
export function runThread({ module, memory, receiver, alarm }: ThreadMessage): void {
  try {
    initSync({ module, memory });
    postMessage('running');
    wbg_rayon_start_worker(receiver);
  } catch (error) {
    // The host may be blocked while it waits for this thread, so only the page can react.
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
