import { Bitx } from 'bitx-wasm';
import { byId } from './dom.js';
import { threads } from './format.js';

let starting: Promise<Bitx> | undefined;

/** Returns the engine, and starts it at the first call. */
export function engine(): Promise<Bitx> {
  if (!starting) byId('engine').textContent = 'starting…';
  starting ??= Bitx.create().then(showEngine, (error: unknown) => {
    byId('engine').textContent = 'not available';
    throw error;
  });
  return starting;
}

/** Shows how an engine computes, which may change during a call. */
export function showEngine(bitx: Bitx): Bitx {
  const line = byId('engine');
  line.textContent = threads(bitx.threads);
  line.dataset.mode = bitx.mode;
  line.title = {
    threads: 'This page is cross-origin isolated, so threads can share memory.',
    pool: 'This page is not cross-origin isolated, so each thread has its own memory.',
    single: 'Several threads cannot be used here, so one does the work.',
  }[bitx.mode];
  return bitx;
}
