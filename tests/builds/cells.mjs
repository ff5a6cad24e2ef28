/**
 * The cells of the matrix: a folder of `examples/` with one version of a bundler. `page` is the
 * folder that a build makes, or the server that a script starts.
 */
const vite = (version) => ({
  folder: 'vite',
  packages: { vite: version },
  runs: [
    { script: 'build', page: 'dist' },
    { server: ['vite', '--port', 'PORT', '--host', '127.0.0.1'] },
  ],
});

const framework = (folder, packages) => ({ ...vite('8.3.8'), folder, packages: { vite: '8.3.8', ...packages } });

const next = (version, ...bundler) => {
  const address = ['--port', 'PORT', '--hostname', '127.0.0.1'];
  return {
    folder: 'next',
    packages: { next: version, react: '19.3.1', 'react-dom': '19.3.1' },
    runs: [
      { command: ['next', 'build', ...bundler], server: ['next', 'start', ...address] },
      { server: ['next', 'dev', ...bundler, ...address] },
    ],
  };
};

const bundled = (folder, packages, page = '.') => ({ folder, packages, runs: [{ script: 'build', page }] });

export const CELLS = {
  'vite 5': vite('5.4.21'),
  'vite 6': vite('6.4.6'),
  'vite 7': vite('7.3.8'),
  'vite 8': vite('8.3.8'),
  'react': framework('react', { '@vitejs/plugin-react': '6.3.0', react: '19.3.1', 'react-dom': '19.3.1' }),
  'svelte': framework('svelte', { '@sveltejs/vite-plugin-svelte': '7.3.1', svelte: '5.57.3' }),
  'vue': framework('vue', { '@vitejs/plugin-vue': '6.0.11', vue: '3.5.45' }),
  'next 15, webpack': next('15.5.29'),
  'next 16, turbopack': next('16.4.6'),
  'next 16, webpack': next('16.4.6', '--webpack'),
  'webpack': bundled('webpack', { webpack: '5.112.2', 'webpack-cli': '6.0.1' }),
  'rspack': bundled('rspack', { '@rspack/cli': '2.2.8', '@rspack/core': '2.3.3' }),
  'esbuild': bundled('esbuild', { esbuild: '0.28.2' }),
  'rollup': bundled('rollup', { rollup: '4.68.8', '@rollup/plugin-node-resolve': '16.0.3' }),
  'parcel': bundled('parcel', { parcel: '2.16.4' }, 'dist'),
};

/** The runtimes besides browsers and Node, by the example's folder: the package and the command. */
export const RUNTIMES = {
  deno: { packages: { deno: '2.9.6' }, command: ['deno', 'run', '--allow-all', '--node-modules-dir=manual', 'restore.js'] },
  bun: { packages: { bun: '1.4.5' }, command: ['bun', 'restore.js'] },
};
