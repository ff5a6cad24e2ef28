/**
 * Serves the built demo and its hub:
 * `node scripts/serve.mjs [--port N] [--no-isolation] [--no-hub]`.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { hubMount, serveDemoHub } from './lib/demo-hub.mjs';
import { demoDist } from './lib/paths.mjs';
import { serve } from './lib/server.mjs';

export async function serveDemo(args) {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', default: '8080' },
      'no-isolation': { type: 'boolean', default: false },
      'no-hub': { type: 'boolean', default: false },
    },
  });
  // An exit by `process.exit` also ends the hub, which the default action of a signal would leave
  // running.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit());
  const hub = values['no-hub'] ? undefined : await serveDemoHub();
  const mounts = { '/': demoDist, ...(hub && { '/hub.json': hubMount(hub) }) };
  const options = { mounts, isolated: !values['no-isolation'] };
  const { address } = await serve({ ...options, port: Number(values.port) }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    return serve(options);
  });
  if (hub) console.log(`A hub with sample models is at ${hub.address}`);
  console.log(`The demo is at ${address}`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await serveDemo(process.argv.slice(2));
