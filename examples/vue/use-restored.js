import { Bitx } from 'bitx-wasm';
import { onUnmounted, ref, shallowRef } from 'vue';
import { describe } from '../app/show.js';

/** Restores a model while the component is mounted. */
export function useRestored(base, delta) {
  const text = ref('starting');
  const error = shallowRef();
  const model = shallowRef();
  const abort = new AbortController();
  const { signal } = abort;
  const run = async () => {
    const bitx = await Bitx.create({ signal });
    try {
      const onProgress = ({ loaded, total }) => {
        text.value = `${loaded} of ${total}`;
      };
      model.value = await bitx.restore({ base, delta, signal, onProgress });
      text.value = `${await describe(model.value)}, ${bitx.mode}`;
    } finally {
      bitx.dispose();
    }
  };
  run().catch((cause) => {
    if (!signal.aborted) error.value = cause;
  });
  onUnmounted(() => abort.abort());
  return { text, error, model };
}
