/**
 * Makes the pictures of the demo that others show: `www/public/og.png`, which previews of links to
 * the page show, and `docs/demo.gif`, the animated picture of the README. Both are photographs of
 * the built page. Build it first.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { launch } from './lib/browser.mjs';
import { demoDist, root } from './lib/paths.mjs';
import { serve } from './lib/server.mjs';

/** The size that previews of links have. */
const PREVIEW = { width: 1200, height: 630 };
/** The size of the animated picture. */
const SCENE = { width: 960, height: 600 };

/** Leaves the headline and the picture, in the room of a preview. */
const PREVIEW_STYLE = `
  main > :not(.hero), footer, .hero-pick, .bar .links, .engine { display: none !important; }
  .bar, main { max-inline-size: none; padding-inline: 4rem; }
  .bar { padding-block: 3rem 0; }
  .hero { grid-template-areas: "head picture"; grid-template-columns: 1fr 1.1fr; padding-block: 2.5rem 0; }
  .hero-head { align-self: center; }
  h1 { font-size: 3.7rem; }
  .lead { font-size: 1.35rem; }
`;

const { server, address } = await serve({ mounts: { '/': demoDist } });
const browser = await launch();
try {
  await recordPreview();
  await recordScenes();
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}

/** Photographs the first screen, without its controls. */
async function recordPreview() {
  const page = await open(PREVIEW);
  await page.addStyleTag({ content: PREVIEW_STYLE });
  await page.screenshot({ path: join(root, 'www', 'public', 'og.png') });
  await page.context().close();
}

/** Photographs a visit: two fine-tunes of one base, and the bits of a weight. */
async function recordScenes() {
  const page = await open(SCENE);
  const frames = [];
  const shoot = async (milliseconds) => {
    frames.push({ png: (await page.screenshot()).toString('base64'), milliseconds });
  };
  await page.waitForSelector('#engine[data-mode]');
  await shoot(2200);
  await run(page, shoot, 'rl');
  await run(page, shoot, 'lora');
  await lookAtBits(page, shoot);
  const gif = await encode(frames);
  writeFileSync(join(root, 'docs', 'demo.gif'), gif);
  console.log(`docs/demo.gif: ${frames.length} frames, ${gif.length} bytes`);
  await page.context().close();
}

/** Chooses a fine-tune and restores it. */
async function run(page, shoot, tune) {
  await page.evaluate(() => scrollTo(0, 0));
  await page.check(`input[value=${tune}]`);
  await shoot(1400);
  await page.click('#sample');
  await page.waitForSelector('#result h2.good');
  await page.waitForSelector('#sample:enabled');
  await page.waitForTimeout(1200);
  await shoot(3200);
}

async function lookAtBits(page, shoot) {
  await page.click('#why-open');
  await page.waitForSelector('#explorer-said strong');
  await page.evaluate(() => document.querySelector('.explorer').scrollIntoView());
  await page.waitForTimeout(1200);
  for (let step = 0; step < 4; step++) {
    await shoot(1300);
    await page.click('#next-changed');
    await page.waitForTimeout(300);
  }
  await page.evaluate(() => document.querySelector('.pipeline').scrollIntoView());
  await page.waitForTimeout(1200);
  await shoot(3500);
}

async function open(viewport) {
  const context = await browser.newContext({ viewport, colorScheme: 'dark', reducedMotion: 'reduce' });
  const page = await context.newPage();
  await page.goto(address);
  return page;
}

/** Encodes screenshots as an animation, in a page, since browsers decode pictures. */
async function encode(frames) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const library = createRequire(import.meta.url).resolve('gifenc/dist/gifenc.esm.js');
  const source = readFileSync(library, 'utf8');
  const text = await page.evaluate(encodeInPage, { frames, source });
  await context.close();
  return Buffer.from(text, 'base64');
}

/** Runs in a page. A pixel that stays as it was becomes transparent, so that it takes no bytes. */
async function encodeInPage({ frames, source }) {
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const { GIFEncoder, quantize, applyPalette } = await import(url);
  const gif = GIFEncoder();
  let before;
  for (const { png, milliseconds } of frames) {
    const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const { width, height } = bitmap;
    const canvas = new OffscreenCanvas(width, height).getContext('2d');
    canvas.drawImage(bitmap, 0, 0);
    const { data } = canvas.getImageData(0, 0, width, height);
    const palette = quantize(data, 255);
    const index = applyPalette(data, palette);
    const clear = palette.push([0, 0, 0]) - 1;
    const pixels = new Uint32Array(data.buffer);
    if (before) for (let i = 0; i < index.length; i++) if (pixels[i] === before[i]) index[i] = clear;
    const options = { palette, delay: milliseconds, transparent: true, transparentIndex: clear, dispose: 1 };
    gif.writeFrame(index, width, height, options);
    before = pixels;
  }
  gif.finish();
  const all = gif.bytes();
  let text = '';
  for (let at = 0; at < all.length; at += 32768) text += String.fromCharCode(...all.subarray(at, at + 32768));
  return btoa(text);
}
