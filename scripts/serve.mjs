/** Serves the built demo: `node scripts/serve.mjs [--port N] [--no-isolation]`. */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { demoDist } from './lib/paths.mjs';
import { serve } from './lib/server.mjs';

export async function serveDemo(args) {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', default: '8080' },
      'no-isolation': { type: 'boolean', default: false },
    },
  });
  const options = { mounts: { '/': demoDist }, isolated: !values['no-isolation'] };
  const { address } = await serve({ ...options, port: Number(values.port) }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    return serve(options);
  });
  console.log(`The demo is at ${address}`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await serveDemo(process.argv.slice(2));
