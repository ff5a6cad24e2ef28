import { Bitx } from 'bitx-wasm';
import { useEffect, useState } from 'react';
import { describe } from '../app/show.js';

/** Restores a model while the component is mounted; StrictMode mounts it twice. */
export function useRestored(base, delta) {
  const [state, setState] = useState({ text: 'starting' });
  useEffect(() => {
    const abort = new AbortController();
    const { signal } = abort;
    const run = async () => {
      const bitx = await Bitx.create({ signal });
      try {
        const onProgress = ({ loaded, total }) => setState({ text: `${loaded} of ${total}` });
        const model = await bitx.restore({ base, delta, signal, onProgress });
        setState({ text: `${await describe(model)}, ${bitx.mode}`, model });
      } finally {
        bitx.dispose();
      }
    };
    run().catch((error) => signal.aborted || setState({ error }));
    return () => abort.abort();
  }, [base, delta]);
  return state;
}
