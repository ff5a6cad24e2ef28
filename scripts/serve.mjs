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
  // The page opens at once and asks for its hub, which is answered when the hub is there: its
  // server is the native command line, which takes minutes to build.
  const hub = values['no-hub'] ? undefined : serveDemoHub();
  const mounts = { '/': demoDist, ...(hub && { '/hub.json': hubMount(hub) }) };
  const options = { mounts, isolated: !values['no-isolation'] };
  const { address } = await serve({ ...options, port: Number(values.port) }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    return serve(options);
  });
  console.log(`The demo is at ${address}`);
  if (!hub) return;
  console.log('A hub with sample models follows, once its server is built');
  console.log(`The hub is at ${(await hub).address}`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await serveDemo(process.argv.slice(2));
