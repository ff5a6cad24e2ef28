/**
 * Makes the pictures of the demo that others show: `www/public/og.png`, which links to the page
 * bring along, and the animated picture of the README. Both show the built page itself.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './lib/browser.mjs';
import { demoDist, root } from './lib/paths.mjs';
import { serve } from './lib/server.mjs';

/** The size that previews of links have. */
const PREVIEW = { width: 1200, height: 630 };

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
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}

/** Photographs the first screen, without its controls. */
async function recordPreview() {
  const context = await browser.newContext({ viewport: PREVIEW, colorScheme: 'dark' });
  const page = await context.newPage();
  await page.goto(address);
  await page.addStyleTag({ content: PREVIEW_STYLE });
  mkdirSync(join(root, 'www', 'public'), { recursive: true });
  await page.screenshot({ path: join(root, 'www', 'public', 'og.png') });
  await context.close();
}
