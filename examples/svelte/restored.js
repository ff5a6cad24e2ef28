import { Bitx } from 'bitx-wasm';
import { writable } from 'svelte/store';
import { describe } from '../app/show.js';

/** Returns a store with the state of a restored model, and the function that ends it. */
export function restored(base, delta) {
  const model = writable({ text: 'starting' });
  const abort = new AbortController();
  const { signal } = abort;
  const run = async () => {
    const bitx = await Bitx.create({ signal });
    try {
      const onProgress = ({ loaded, total }) => model.set({ text: `${loaded} of ${total}` });
      const file = await bitx.restore({ base, delta, signal, onProgress });
      model.set({ text: `${await describe(file)}, ${bitx.mode}`, file });
    } finally {
      bitx.dispose();
    }
  };
  run().catch((error) => signal.aborted || model.set({ error }));
  return { model, stop: () => abort.abort() };
}
