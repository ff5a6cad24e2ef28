/** Frames and content security policies, as the guide about headers describes them. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { packageDist } from '../../scripts/lib/paths.mjs';
import { serve } from '../../scripts/lib/server.mjs';
import { environment, openPage, vectors } from './support.mjs';

const env = environment();
let cdn;
before(async () => {
  const from = (folder) => async (request, response) => {
    const file = await readFile(join(folder, basename(request.url)));
    const type = request.url.endsWith('.js') ? 'text/javascript' : 'application/wasm';
    response.writeHead(200, { 'content-type': type, 'access-control-allow-origin': '*' }).end(file);
  };
  cdn = await serve({ mounts: { '/': from(packageDist), '/vectors/': from(vectors) }, isolated: false });
});
after(() => {
  cdn.server.closeAllConnections();
  cdn.server.close();
});

/** Runs in a page: restores and returns the size, or the code of the error. */
const RESTORE = `async (place, models) => {
  try {
    const { Bitx } = await import(place + 'index.js');
    const bitx = await Bitx.create({ threads: 2 });
    const { size } = await bitx.restore({
      base: models + 'base-bf16.safetensors',
      delta: models + 'sft-bf16.v2.bitx',
    });
    bitx.dispose();
    return size;
  } catch (error) {
    return error.code ?? error.name;
  }
}`;

/** Restores in a sandboxed frame, with the package and the models from an address. */
function inFrame(page, sandbox, place, models) {
  const run = `<script type="module">
    const result = await (${RESTORE})('${place}', '${models}');
    parent.postMessage(result, '*');
  </script>`;
  return page.evaluate(
    ([sandbox, srcdoc]) => {
      const frame = Object.assign(document.createElement('iframe'), { srcdoc });
      frame.setAttribute('sandbox', sandbox);
      document.body.append(frame);
      return new Promise((resolve) => addEventListener('message', ({ data }) => resolve(data)));
    },
    [sandbox, run],
  );
}

test('a sandboxed frame without an origin cannot start workers, and says so', async (t) => {
  const page = await openPage(t, env, { isolated: false });
  assert.equal(await inFrame(page, 'allow-scripts', cdn.address, `${cdn.address}vectors/`), 'start-failed');
});

test('a sandboxed frame of the page’s origin restores like the page', async (t) => {
  const page = await openPage(t, env, { isolated: false });
  const own = env.plain.address;
  const sandbox = 'allow-scripts allow-same-origin';
  assert.equal(await inFrame(page, sandbox, `${own}bitx/`, `${own}vectors/`), 1_192_912);
});

test('a sandboxed frame without an origin cannot even import the page’s files', async (t) => {
  const page = await openPage(t, env, { isolated: false });
  const own = env.plain.address;
  assert.equal(await inFrame(page, 'allow-scripts', `${own}bitx/`, `${own}vectors/`), 'TypeError');
});

/** Opens a page with a content security policy, and restores in it. */
async function withPolicy(t, policy, place) {
  env.mounts['/policy'] = (_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/html', 'content-security-policy': policy })
      .end('<!doctype html>');
  const page = await openPage(t, env, { isolated: false, path: 'policy' });
  return page.evaluate(`(${RESTORE})('${place}', '/vectors/')`);
}

test('the policy that the guide names is enough', async (t) => {
  const policy =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
  assert.equal(await withPolicy(t, policy, '/bitx/'), 1_192_912);
  const origin = cdn.address.slice(0, -1);
  const foreign = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval' ${origin};
    worker-src 'self' blob: ${origin}; connect-src 'self' ${origin}`.replace(/\s+/g, ' ');
  assert.equal(await withPolicy(t, foreign, cdn.address), 1_192_912);
});

test('a policy that forbids workers or wasm is an error of the start', async (t) => {
  assert.equal(await withPolicy(t, "script-src 'self'; worker-src 'none'", '/bitx/'), 'start-failed');
  // A worker has the policy that its own script is served with.
  const strict = async (request, response) => {
    const headers = { 'content-type': 'text/javascript', 'content-security-policy': "script-src 'self'" };
    response.writeHead(200, headers).end(await readFile(join(packageDist, basename(request.url))));
  };
  for (const name of ['index', 'common', 'worker']) env.mounts[`/strict/${name}.js`] = strict;
  assert.equal(await withPolicy(t, "script-src 'self'", '/strict/'), 'start-failed');
});

test('a policy that forbids the models’ origin is an error of the network', async (t) => {
  const policy = "script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
  env.mounts['/policy'] = (_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/html', 'content-security-policy': policy })
      .end('<!doctype html>');
  const page = await openPage(t, env, { isolated: false, path: 'policy' });
  assert.equal(await page.evaluate(`(${RESTORE})('/bitx/', '${cdn.address}vectors/')`), 'network');
});
