/** Model folders in a page: handles, files, and a static server. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Bitx } from 'bitx-wasm';
import { compressFolder } from 'bitx-wasm/folder';
import { bitxPage } from './api-support.mjs';
import { digests, writeFolders } from './folder-support.mjs';
import { environment } from './support.mjs';

const env = environment();
const place = mkdtempSync(join(tmpdir(), 'bitx-folders-'));
after(() => rmSync(place, { recursive: true, force: true }));
const { base, tuned } = writeFolders(place);
const archives = join(place, 'tuned.bitx');
env.mounts['/folders/'] = place;

/** Makes the folder of archives that the server has. */
async function served() {
  const bitx = await Bitx.create({ threads: 1 });
  await compressFolder(bitx, { base, target: tuned, output: archives });
  bitx.dispose();
}
const serving = served();

async function folderPage(t) {
  await serving;
  const page = await bitxPage(t, env);
  await page.evaluate(async () => {
    const folders = await import('/bitx/folder.js');
    Object.assign(globalThis, folders, {
      /** Returns the files of a folder on the server as a Map. */
      fetched: async (folder, paths) => {
        const blobs = paths.map(async (path) => [path, await blobOf(`/folders/${folder}/${path}`)]);
        return new Map(await Promise.all(blobs));
      },
      /** Writes files to a folder of the origin private file system. */
      stored: async (name, files) => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle(name, { create: true });
        for (const [path, blob] of files) {
          const names = path.split('/');
          let parent = folder;
          for (const part of names.slice(0, -1))
            parent = await parent.getDirectoryHandle(part, { create: true });
          const stream = await (await parent.getFileHandle(names.at(-1), { create: true })).createWritable();
          await stream.write(blob);
          await stream.close();
        }
        return folder;
      },
      /** Returns the SHA-256 of all files of a folder by path. */
      digestsOf: async (folder, prefix = '') => {
        const all = {};
        for await (const [name, handle] of folder) {
          if (handle.kind === 'directory') Object.assign(all, await digestsOf(handle, `${prefix}${name}/`));
          else all[prefix + name] = await sha256(await handle.getFile());
        }
        return all;
      },
    });
  });
  return page;
}

const paths = (folder) => Object.keys(digests(folder));

test('folder handles are compressed and restored', async (t) => {
  const page = await folderPage(t);
  const result = await page.evaluate(
    async ([basePaths, tunedPaths]) => {
      const base = await stored('base', await fetched('base', basePaths));
      const target = await stored('tuned', await fetched('tuned', tunedPaths));
      const archives = await stored('archives', []);
      const output = await stored('restored', []);
      const progress = [];
      const begun = [];
      const made = await compressFolder(bitx, {
        base,
        target,
        output: archives,
        onFile: (path) => begun.push(path),
        onProgress: (now) => progress.push(now),
      });
      const restored = await restoreFolder(bitx, { base, archives, output });
      const manifest = await inspectFolder(bitx, archives);
      return {
        begun,
        digests: await digestsOf(output),
        last: progress.at(-1),
        same: JSON.stringify(manifest) === JSON.stringify(made.manifest),
        sums: [made.storedBytes, made.restoredBytes, restored.restoredBytes],
        blobs: made.files.size + restored.files.size,
      };
    },
    [paths(base), paths(tuned)],
  );
  assert.deepEqual(result.digests, digests(tuned));
  assert.deepEqual(result.begun, paths(tuned).sort());
  const [stored, all, restored] = result.sums;
  assert.ok(stored < all / 2 && all === restored, `${result.sums}`);
  assert.deepEqual(result.last, { phase: 'compress', loaded: all, total: all });
  assert.ok(result.same);
  assert.equal(result.blobs, 0);
});

test('a folder is restored from a static server, and fetches what it needs', async (t) => {
  const page = await folderPage(t);
  const requested = [];
  page.on('request', (request) => requested.push(new URL(request.url()).pathname));
  const addresses = ['/folders/tuned.bitx', '/folders/tuned.bitx/', '/folders/tuned.bitx/bitx.json?v=1'];
  for (const archives of addresses) {
    const found = await page.evaluate(async (archives) => {
      const { files } = await restoreFolder(bitx, { base: '/folders/base/', archives });
      const all = {};
      for (const [path, blob] of files) all[path] = await sha256(blob);
      return all;
    }, archives);
    assert.deepEqual(found, digests(tuned), archives);
  }
  requested.length = 0;
  const one = await page.evaluate(async () => {
    const files = ['sub/notes.txt'];
    const options = { base: '/folders/base/', archives: '/folders/tuned.bitx', files };
    return (await restoreFolder(bitx, options)).files.get('sub/notes.txt').text();
  });
  assert.match(one, /^the notes of tuned/);
  const fetched = new Set(requested.filter((path) => path.startsWith('/folders/')));
  const expected = ['tuned.bitx/bitx.json', 'tuned.bitx/sub/notes.txt.bitx', 'base/sub/notes.txt'];
  assert.deepEqual([...fetched].sort(), expected.map((path) => `/folders/${path}`).sort());
});

test('files, maps and objects are folders, and a function takes the outputs', async (t) => {
  const page = await folderPage(t);
  const result = await page.evaluate(
    async ([basePaths, tunedPaths]) => {
      const base = await fetched('base', basePaths);
      const target = [...(await fetched('tuned', tunedPaths))].map(([path, blob]) => {
        const file = new File([blob], path.split('/').at(-1));
        Object.defineProperty(file, 'webkitRelativePath', { value: `chosen/${path}` });
        return file;
      });
      const { files } = await compressFolder(bitx, { base: Object.fromEntries(base), target });
      const parts = {};
      await restoreFolder(bitx, {
        base,
        archives: files,
        output: (path) => {
          parts[path] = [];
          return new WritableStream({ write: (part) => void parts[path].push(part) });
        },
      });
      // Another sharding of the base: one file with all of its shards' names changed.
      const renamed = new Map([...base].map(([path, blob], i) => [`${i}-${path.replace('/', '-')}`, blob]));
      const again = await restoreFolder(bitx, { base: renamed, archives: files });
      const all = {};
      for (const [path, some] of Object.entries(parts)) all[path] = await sha256(new Blob(some));
      const others = {};
      for (const [path, blob] of again.files) others[path] = await sha256(blob);
      return { all, others };
    },
    [paths(base), paths(tuned)],
  );
  assert.deepEqual(result.all, digests(tuned));
  assert.deepEqual(result.others, digests(tuned));
});

test('hostile manifests are refused before a file is written', async (t) => {
  const page = await folderPage(t);
  const codes = await page.evaluate(async () => {
    const manifest = await (await fetch('/folders/tuned.bitx/bitx.json')).json();
    const base = '/folders/base/';
    const attempt = async (change, more = {}) => {
      const hostile = structuredClone(manifest);
      const text = change(hostile) ?? JSON.stringify(hostile);
      const outputs = [];
      const output = (path) => {
        outputs.push(path);
        return new WritableStream();
      };
      const archives = new Map([['bitx.json', new Blob([text])]]);
      for (const { archive } of manifest.files)
        archives.set(archive.path, `/folders/tuned.bitx/${archive.path}`);
      const { code } = await failure(restoreFolder(bitx, { base, archives, output, ...more }));
      return outputs.length === 0 ? code : outputs;
    };
    const change = (pick, values) => (hostile) => {
      Object.assign(pick(hostile), values);
    };
    const first = ({ files }) => files[0];
    const file = (values) => change((hostile) => first(hostile).file, values);
    const archive = (values) => change((hostile) => first(hostile).archive, values);
    const [one, two] = manifest.files;
    const dotted = (hostile) => {
      hostile.files[0].file.path = 'İ';
      hostile.files[1].file.path = 'i\u0307';
    };
    const long = (bytes) => {
      const place = `"bytes":${one.file.bytes},"blake3":"${one.file.blake3}"`;
      return JSON.stringify(manifest).replace(place, place.replace(one.file.bytes, bytes));
    };
    return {
      above: await attempt(file({ path: '../out' })),
      root: await attempt(file({ path: '/etc/passwd' })),
      drive: await attempt(file({ path: 'C:/out' })),
      backslash: await attempt(file({ path: 'a\\b' })),
      archive: await attempt(archive({ path: '../tuned.bitx' })),
      manifest: await attempt(archive({ path: 'BITX.json' })),
      twice: await attempt(file({ path: two.file.path })),
      unicode: await attempt(dotted),
      base: await attempt(change(first, { base: [99] })),
      long: await attempt(() => long(2n ** 63n)),
      unsafe: await attempt(() => long(9007199254740993n)),
      digest: await attempt(file({ blake3: '0'.repeat(64) })),
      other: await attempt(file({ bytes: one.file.bytes + 1 })),
      version: await attempt(change((hostile) => hostile, { version: 2 })),
      html: await attempt(() => '<!doctype html>'),
      deep: await attempt(() => '['.repeat(100_000)),
      empty: await attempt(change((hostile) => hostile, { files: [] })),
      most: await attempt(() => undefined, { maxOutput: 1000 }),
    };
  });
  const corrupt = 'above root drive backslash archive manifest twice unicode base digest other unsafe empty';
  const expected = Object.fromEntries(corrupt.split(' ').map((name) => [name, 'corrupt']));
  assert.deepEqual(codes, {
    ...expected,
    long: 'limit',
    version: 'unsupported',
    html: 'format',
    deep: 'format',
    most: 'limit',
  });
});

test('what is no folder says so', async (t) => {
  const page = await folderPage(t);
  const failures = await page.evaluate(async () => {
    const file = new File(['x'], 'a');
    const base = '/folders/base/';
    const archives = '/folders/tuned.bitx';
    const calls = {
      nothing: () => restoreFolder(bitx, { base }),
      none: () => restoreFolder(bitx, { base, archives: '/folders/base/' }),
      listed: () => compressFolder(bitx, { base, target: [file] }),
      empty: () => compressFolder(bitx, { base: [file], target: [] }),
      twice: () => compressFolder(bitx, { base: [file], target: [file, file] }),
      output: () => restoreFolder(bitx, { base, archives, output: './folder' }),
      nowhere: () => restoreFolder(bitx, { base, archives, output: () => undefined }),
      thrown: () =>
        restoreFolder(bitx, {
          base,
          archives,
          output: () => {
            throw new TypeError('no place');
          },
        }),
      file: () => restoreFolder(bitx, { base, archives, files: ['b'] }),
      option: () => restoreFolder(bitx, { base, archives, level: 3 }),
      another: () => restoreFolder(bitx, { base: [file], archives }),
      missing: () => inspectFolder(bitx, new Map()),
      clash: () => compressFolder(bitx, { base: [file], target: { A: file, a: file } }),
    };
    const all = {};
    for (const [name, call] of Object.entries(calls)) {
      const { code, message } = await failure(call());
      all[name] = [code, message];
    }
    return all;
  });
  const codes = Object.fromEntries(Object.entries(failures).map(([name, [code]]) => [name, code]));
  const invalid = 'nothing listed empty twice output nowhere file option';
  assert.deepEqual(codes, {
    ...Object.fromEntries(invalid.split(' ').map((name) => [name, 'invalid-argument'])),
    none: 'network',
    thrown: 'io',
    another: 'base-mismatch',
    missing: 'format',
    clash: 'corrupt',
  });
  assert.match(failures.another[1], /: the base lacks the file/);
});

test('an aborted folder stops, and its streams are aborted', async (t) => {
  const page = await folderPage(t);
  const result = await page.evaluate(async () => {
    const stop = new AbortController();
    const { stream, events } = recorder();
    let files = 0;
    const call = restoreFolder(bitx, {
      base: '/folders/base/',
      archives: '/folders/tuned.bitx',
      signal: stop.signal,
      output: () => {
        files++;
        stop.abort();
        return stream;
      },
    });
    const { code } = await failure(call);
    return { code, files, events };
  });
  assert.deepEqual(result, { code: 'aborted', files: 1, events: ['abort'] });
});
