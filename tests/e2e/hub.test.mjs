import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hubEnvironment, hubPage } from './hub-support.mjs';
import { SHA256, sha256 } from './support.mjs';

const env = hubEnvironment();
const MODEL = 'model.safetensors';
const CONFIG = 'config.json';
const FILE = /^\/models\//;

/** Returns the fetched files by path and query, with the bytes of each. */
function fetched() {
  const bytes = new Map();
  for (const { path, search, sent } of env.proxy.hits('GET', FILE)) {
    const what = path.replace('/models/models/', '') + search.replace(/=.*/, '');
    bytes.set(what, (bytes.get(what) ?? 0) + sent);
  }
  return Object.fromEntries(bytes);
}

test('models are listed with their sizes', async (t) => {
  const page = await hubPage(t, env);
  const models = await page.evaluate(() => hub.list());
  const base = models.find(({ name }) => name === 'models/base');
  const configBytes = base.bytes - env.models.base.length;
  assert.equal(base.files, 2);
  assert.ok(configBytes > 0 && configBytes < 100, `${configBytes} bytes`);
  assert.equal(models.filter(({ name }) => name.startsWith('models/')).length, 4);
});

test('without a base, files are fetched whole and checked', async (t) => {
  const page = await hubPage(t, env);
  const { plan, digests, again } = await page.evaluate(async () => {
    const plan = await hub.plan('models/sft');
    const digests = await contents(await hub.pull('models/sft'));
    return { plan, digests, again: await hub.plan('models/sft') };
  });
  assert.equal(digests[MODEL], SHA256.sft);
  assert.deepEqual(plan.files.map(({ path, from }) => [path, from]).sort(), [
    [CONFIG, 'file'],
    [MODEL, 'file'],
  ]);
  assert.deepEqual([plan.fetchBytes, plan.savedBytes, plan.fits], [plan.bytes, 0, true]);
  const sent = fetched();
  assert.equal(sent[`sft/files/${MODEL}`], env.models.sft.length);
  assert.deepEqual([again.fetchBytes, again.savedBytes, again.storeBytes], [0, plan.bytes, 0]);
});

test('with the base in the cache, whatever its URL, only a delta is fetched', async (t) => {
  const page = await hubPage(t, env);
  env.origin.put('elsewhere', env.models.base);
  await page.evaluate(() => cache.fetch('/m/elsewhere'));
  const { plan, digests, phases } = await page.evaluate(async () => {
    const plan = await hub.plan('models/sft');
    const phases = new Set();
    const onProgress = ({ phase, path }) => phases.add(`${phase} ${path}`);
    return {
      plan,
      digests: await contents(await hub.pull('models/sft', { onProgress })),
      phases: [...phases],
    };
  });
  assert.equal(digests[MODEL], SHA256.sft);
  const file = plan.files.find(({ path }) => path === MODEL);
  assert.equal(file.from, 'delta');
  assert.deepEqual([file.base.model, file.base.path], ['models/base', MODEL]);
  assert.ok(file.fetchBytes < env.models.sft.length / 2, `${file.fetchBytes} bytes`);
  assert.equal(plan.savedBytes, plan.bytes - plan.fetchBytes);
  assert.deepEqual(phases.sort(), [`download ${CONFIG}`, `download ${MODEL}`, `restore ${MODEL}`]);
  const sent = fetched();
  assert.deepEqual(Object.keys(sent).sort(), [`sft/files/${CONFIG}`, `sft/files/${MODEL}?base`]);
  // A server makes no delta to answer HEAD, so the size of one that is not made yet costs a byte.
  const probed = sent[`sft/files/${MODEL}?base`] - file.fetchBytes;
  assert.ok(probed === 0 || probed === 1, `of the base nothing, of the delta all: ${probed} more`);
});

test('some files of a model can be chosen', async (t) => {
  const page = await hubPage(t, env);
  const paths = await page.evaluate(
    async (path) => [...(await hub.pull('models/rl', { files: [path] })).keys()],
    CONFIG,
  );
  assert.deepEqual(paths, [CONFIG]);
  assert.deepEqual(Object.keys(fetched()), [`rl/files/${CONFIG}`]);
  const error = await page.evaluate(() => failure(hub.pull('models/rl', { files: ['nothing'] })));
  assert.deepEqual([error.code, error.file], ['not-found', 'nothing']);
});

for (const [what, prepare] of [
  ['file', undefined],
  ['delta', 'models/base'],
]) {
  test(`a pull is cancelled and continues where it stopped: ${what}`, async (t) => {
    const page = await hubPage(t, env);
    if (prepare) await page.evaluate((name) => hub.pull(name), prepare);
    env.proxy.reset();
    env.proxy.fault = ({ path }) => (path.endsWith(MODEL) ? { delay: 20 } : undefined);
    const error = await page.evaluate(() => {
      const abort = new AbortController();
      const onProgress = ({ phase, path, loaded }) => {
        if (phase === 'download' && path === 'model.safetensors' && loaded > 1 << 17)
          abort.abort(new Error('enough'));
      };
      return failure(hub.pull('models/sft', { signal: abort.signal, onProgress }));
    });
    assert.equal(error.code, 'aborted');
    env.proxy.reset();
    const { plan, digests } = await page.evaluate(async () => {
      const plan = await hub.plan('models/sft', { files: ['model.safetensors'] });
      return { plan, digests: await contents(await hub.pull('models/sft')) };
    });
    assert.equal(digests[MODEL], SHA256.sft);
    const [{ from }] = plan.files;
    assert.equal(from, what);
    const bytes = fetched()[`sft/files/${MODEL}${what === 'delta' ? '?base' : ''}`];
    assert.equal(bytes, plan.fetchBytes);
    const whole = what === 'delta' ? await deltaBytes() : env.models.sft.length;
    assert.ok(bytes <= whole - (1 << 16), `${bytes} of ${whole} bytes`);
  });
}

/** Returns the size of the delta of `sft` that the hub reports. */
async function deltaBytes() {
  const { search } = env.proxy.hits('GET', /sft.*base=/)[0];
  const answer = await fetch(`${env.hub.address}models/models/sft/files/${MODEL}${search}`, {
    method: 'HEAD',
  });
  return Number(answer.headers.get('content-length'));
}

for (const [what, prepare] of [
  ['file', undefined],
  ['delta', 'models/base'],
]) {
  test(`wrong bytes are noticed and fetched again: ${what}`, async (t) => {
    const page = await hubPage(t, env);
    if (prepare) await page.evaluate((name) => hub.pull(name), prepare);
    env.proxy.reset();
    let damaged = 0;
    const damage = (bytes) => {
      damaged++;
      bytes[bytes.length >> 1] ^= 1;
      return bytes;
    };
    // The first answer with bytes from the middle of the file.
    env.proxy.fault = ({ path, method }) =>
      path.endsWith(MODEL) && method === 'GET' && damaged === 0 ? { damage } : undefined;
    const digests = await page.evaluate(async () => contents(await hub.pull('models/sft')));
    assert.equal(digests[MODEL], SHA256.sft);
    assert.ok(damaged > 0);
    const file = fetched()[`sft/files/${MODEL}`] ?? 0;
    if (prepare) assert.equal(file, 0, 'another delta did');
    else assert.ok(file > env.models.sft.length);
  });
}

test('a permanently wrong delta is replaced by the whole file', async (t) => {
  const page = await hubPage(t, env);
  await page.evaluate(() => hub.pull('models/base'));
  const damage = (bytes) => bytes.fill(0);
  env.proxy.fault = ({ search, method }) => (search && method === 'GET' ? { damage } : undefined);
  const digests = await page.evaluate(async () => contents(await hub.pull('models/sft')));
  assert.equal(digests[MODEL], SHA256.sft);
  const urls = await page.evaluate(async () => (await cache.list()).map(({ url }) => url));
  assert.ok(!urls.some((url) => url.includes('?base=')), `${urls}`);
});

test('a permanently wrong file is an error and is not kept', async (t) => {
  const page = await hubPage(t, env);
  const damage = (bytes) => bytes.fill(0);
  env.proxy.fault = ({ path, method }) => (path.endsWith(MODEL) && method === 'GET' ? { damage } : undefined);
  const error = await page.evaluate(() => failure(hub.pull('models/sft', { files: ['model.safetensors'] })));
  assert.equal(error.code, 'integrity');
  assert.deepEqual(await page.evaluate(() => cache.list()), []);
});

test('a busy hub is asked again after the pause that it demands', async (t) => {
  const page = await hubPage(t, env);
  env.proxy.fault = ({ nth }) => (nth < 2 ? { status: 503, headers: { 'retry-after': '1' } } : undefined);
  const { seconds, count } = await page.evaluate(async () => {
    const begun = performance.now();
    const models = await hub.list();
    return { seconds: (performance.now() - begun) / 1000, count: models.length };
  });
  assert.ok(count >= 4);
  assert.ok(seconds >= 1.9, `${seconds} s`);
  assert.deepEqual(
    env.proxy.log.map(({ status }) => status),
    [503, 503, 200],
  );
});

test('a permanently failing hub is an error with its status', async (t) => {
  const page = await hubPage(t, env);
  env.proxy.fault = () => ({ status: 503, body: '<html>' });
  const busy = await page.evaluate(() => failure(hubOf({ retries: 2 }).list()));
  assert.deepEqual([busy.code, busy.status], ['network', 503]);
  assert.equal(env.proxy.log.length, 3);
  const gone = await page.evaluate(() => failure(hubOf({ url: 'http://127.0.0.1:9/', retries: 1 }).list()));
  assert.equal(gone.code, 'network');
});

test('a server that is not a hub is detected', async (t) => {
  const page = await hubPage(t, env);
  for (const body of ['<!doctype html><title>Sign in</title>', '{}', 'null']) {
    env.proxy.fault = () => ({ status: 200, body });
    const codes = await page.evaluate(async () => [
      (await failure(hub.list())).code,
      (await failure(hub.plan('models/sft'))).code,
      (await failure(hub.push('new/any', { file: new Blob(['any']) }))).code,
    ]);
    assert.deepEqual(codes, ['format', 'format', 'format'], body);
  }
});

test('an answer that breaks off is requested again', async (t) => {
  const page = await hubPage(t, env);
  env.proxy.fault = ({ nth }) => (nth === 0 ? { cutAfter: 0 } : undefined);
  assert.ok((await page.evaluate(() => hub.list())).length >= 4);
  assert.equal(env.proxy.hits('GET', /api.models/).length, 2);
});

test('missing and forbidden models have their codes', async (t) => {
  const page = await hubPage(t, env);
  const codes = await page.evaluate(async () => [
    (await failure(hub.pull('models/nothing'))).code,
    (await failure(hub.plan('../secrets'))).code,
    (await failure(hubOf({ token: 'of nobody' }).list())).code,
  ]);
  assert.deepEqual(codes, ['not-found', 'invalid-argument', 'unauthorized']);
});

test('too little storage is reported before the first byte', async (t) => {
  const page = await hubPage(t, env);
  const { plan, error } = await page.evaluate(async () => {
    navigator.storage.estimate = async () => ({ quota: 1_000_000, usage: 0 });
    return { plan: await hub.plan('models/sft'), error: await failure(hub.pull('models/sft')) };
  });
  assert.equal(plan.fits, false);
  assert.deepEqual([error.code, error.need, error.have], ['quota', plan.storeBytes, 1_000_000]);
  assert.deepEqual(fetched(), {});
});

test('a closed hub says so', async (t) => {
  const page = await hubPage(t, env);
  const codes = await page.evaluate(async () => {
    await hub.list();
    const pending = failure(hub.list());
    hub.close();
    return [(await pending).code, (await failure(hub.list())).code];
  });
  assert.deepEqual(codes, ['disposed', 'disposed']);
});

test('a worker that has died is replaced', async (t) => {
  const page = await hubPage(t, env);
  const codes = await page.evaluate(async () => {
    const { Worker } = globalThis;
    let worker;
    globalThis.Worker = class extends Worker {
      constructor(...args) {
        super(...args);
        worker = this;
      }
    };
    const hub = hubOf();
    await hub.list();
    worker.dispatchEvent(new ErrorEvent('error', { message: 'out of memory' }));
    const pending = await failure(hubOf({ workerUrl: '/worker/nothing' }).list());
    return [(await hub.list()).length > 0, pending.code];
  });
  assert.deepEqual(codes, [true, 'start-failed']);
});

test('the digests of pulled files are those of the models', async (t) => {
  const page = await hubPage(t, env);
  for (const name of Object.keys(env.models)) {
    const digests = await page.evaluate(async (name) => contents(await hub.pull(`models/${name}`)), name);
    assert.equal(digests[MODEL], sha256(env.models[name]));
  }
  assert.equal(env.proxy.hits('GET', /model\.safetensors$/).length > 0, true);
  assert.deepEqual(
    Object.keys(fetched()).filter((what) => /safetensors$/.test(what)),
    [`base/files/${MODEL}`],
  );
});
