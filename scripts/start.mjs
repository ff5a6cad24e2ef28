/** Sets up, builds and serves the demo. The options are those of serve.mjs. */
import { build } from './build.mjs';
import { serveDemo } from './serve.mjs';
import { setup } from './setup.mjs';

await setup({ tests: false });
await build();
await serveDemo(process.argv.slice(2));
