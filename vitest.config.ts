import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['js/src/**/*.test.ts', 'www/src/**/*.test.ts'],
    setupFiles: ['js/src/runtimes/node/test-setup.ts'],
    restoreMocks: true,
    unstubGlobals: true,
  },
});
