/** Rspack finds the worker and the wasm files without any settings. */
export default {
  mode: 'production',
  entry: './main.js',
  output: { filename: 'main.js', clean: true },
  // Turns off the warning about the size of the wasm files, which is intended.
  performance: { hints: false },
};
