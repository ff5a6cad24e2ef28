import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';
import { firstScreen } from './src/first/markup.ts';

/**
 * The address at which the page will be served, if it is known at build time: most readers of
 * `og:image` follow no relative address.
 */
const served = process.env.BITX_DEMO_URL;

function absolute(html) {
  if (!served) return html;
  const image = new URL('og.png', served.endsWith('/') ? served : `${served}/`).href;
  return html.replace('content="./og.png"', () => `content="${image}"`);
}

/** Writes the sample's picture and figures into the page, so that they show before any script. */
const samplePlugin = {
  name: 'sample',
  transformIndexHtml(html) {
    const sample = JSON.parse(readFileSync(new URL('./generated/sample.json', import.meta.url), 'utf8'));
    return firstScreen(absolute(html), sample);
  },
};

export default defineConfig({
  // Relative addresses, so that the built page can live in any folder.
  base: './',
  plugins: [samplePlugin],
  build: { target: 'es2022', outDir: 'dist', emptyOutDir: true, assetsInlineLimit: 0 },
});
