/** webpack finds the worker and the wasm by itself. */
export default {
  mode: 'production',
  entry: './main.js',
  output: { filename: 'main.js', clean: true },
  // A wasm file of this size is no mistake.
  performance: { hints: false },
};
