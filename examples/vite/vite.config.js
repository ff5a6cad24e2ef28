/** @type {import('vite').UserConfig} */
export default {
  // Otherwise the development server would bundle the package without its worker and wasm files.
  optimizeDeps: { exclude: ['bitx-wasm'] },
};
