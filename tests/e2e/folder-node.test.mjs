/** Model folders on the disk, and between Node and the command line. */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Bitx } from 'bitx-wasm';
import { compressFolder, inspectFolder, restoreFolder } from 'bitx-wasm/folder';
import { digests, writeFolders } from './folder-support.mjs';

const place = mkdtempSync(join(tmpdir(), 'bitx-folders-'));
const { base, tuned } = writeFolders(place);
const archives = join(place, 'tuned.bitx');
let bitx;
before(async () => {
  bitx = await Bitx.create({ threads: 1 });
  await compressFolder(bitx, { base, target: tuned, output: archives });
});
after(() => {
  bitx.dispose();
  rmSync(place, { recursive: true, force: true });
});

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'bitx-folder-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('paths and file URLs are folders', async (t) => {
  const output = join(folder(t), 'restored');
  const shown = relative(process.cwd(), base);
  const { files } = await restoreFolder(bitx, { base: shown, archives: pathToFileURL(archives), output });
  assert.equal(files.size, 0);
  assert.deepEqual(digests(output), digests(tuned));
  const manifest = await inspectFolder(bitx, archives);
  assert.equal(readFileSync(join(archives, 'bitx.json'), 'utf8'), `${JSON.stringify(manifest, null, 2)}\n`);
  const paths = manifest.files.map(({ archive }) => archive.path);
  assert.deepEqual([...paths, 'bitx.json'].sort(), Object.keys(digests(archives)).sort());
  for (const { archive } of manifest.files) {
    const bytes = readFileSync(join(archives, archive.path));
    assert.deepEqual([bytes.length, bytes.subarray(-32).toString('hex')], [archive.bytes, archive.root]);
  }
});

test('a base that is sharded in another way restores as well', async (t) => {
  const other = folder(t);
  // The shards under each other's names, so that no path fits.
  for (const [from, to] of [
    ['model-1.safetensors', 'model-2.safetensors'],
    ['model-2.safetensors', 'model-1.safetensors'],
    ['config.json', 'config.json'],
  ]) {
    writeFileSync(join(other, to), readFileSync(join(base, from)));
  }
  mkdirSync(join(other, 'sub'));
  writeFileSync(join(other, 'sub', 'notes.txt'), readFileSync(join(base, 'sub', 'notes.txt')));
  const output = join(folder(t), 'restored');
  await restoreFolder(bitx, { base: other, archives, output });
  assert.deepEqual(digests(output), digests(tuned));
});

test('a folder appears whole or not at all', async (t) => {
  const around = folder(t);
  const output = join(around, 'restored');
  await assert.rejects(restoreFolder(bitx, { base: tuned, archives, output }), { code: 'base-mismatch' });
  assert.deepEqual(readdirSync(around), []);
  mkdirSync(output);
  await restoreFolder(bitx, { base, archives, output });
  await assert.rejects(restoreFolder(bitx, { base, archives, output }), { code: 'io', message: /EEXIST/ });
  assert.deepEqual(digests(output), digests(tuned));
  await assert.rejects(restoreFolder(bitx, { base, archives, output: join(around, 'no', 'folder') }), {
    code: 'io',
  });
  assert.deepEqual(readdirSync(around), ['restored']);
});

test('links to folders around a folder, and the folders of tools, are left out', async (t) => {
  const model = folder(t);
  writeFileSync(join(model, 'config.json'), '{}');
  mkdirSync(join(model, '.git'));
  writeFileSync(join(model, '.git', 'HEAD'), 'ref');
  symlinkSync(model, join(model, 'loop'));
  const { manifest } = await compressFolder(bitx, { base, target: model });
  assert.deepEqual(
    manifest.files.map(({ file }) => file.path),
    ['config.json'],
  );
  await assert.rejects(compressFolder(bitx, { base: join(model, 'missing'), target: model }), {
    code: 'io',
    message: /ENOENT/,
  });
});
