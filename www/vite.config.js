import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses, so that the built page can live in any folder.
  base: './',
  build: { target: 'es2022', outDir: 'dist', emptyOutDir: true, assetsInlineLimit: 0 },
});
