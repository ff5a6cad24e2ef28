import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The unit tests run before anything is built, so the page's imports of the package get its
  // sources.
  resolve: {
    alias: [{ find: /^bitx-wasm$/, replacement: resolve(import.meta.dirname, 'js/src/index.ts') }],
  },
  test: {
    include: ['js/src/**/*.test.ts', 'www/src/**/*.test.ts'],
    setupFiles: ['js/src/runtimes/node/test-setup.ts'],
    // A loaded machine is no failure.
    testTimeout: 30_000,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
