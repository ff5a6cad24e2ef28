/** @type {import('vite').UserConfig} */
export default {
  // The development server would bundle the package without its worker and its wasm.
  optimizeDeps: { exclude: ['bitx-wasm'] },
};
