import { BitxError } from 'bitx-wasm';
import { byId } from '../dom.js';
import { isRunning, showFault } from '../task/stage.js';
import { groupFiles } from './groups.js';
import { DEFAULT_HUB, fileUrl, listedPaths, listingUrl, readAddress } from './model-id.js';
import type { Slots } from './slots.js';
import { say } from './slots.js';
import { ofUrl, type Source } from './source.js';

/** Lets the reader add files by their addresses, or all of a model by its id at a hub. */
export function prepareAddresses(slots: Slots): void {
  byId<HTMLInputElement>('id-hub').value = DEFAULT_HUB;
  byId('address-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (isRunning()) return say('A task is running. Add the addresses when it has ended.');
    void addAll(slots).catch((error: unknown) => showFault(error, byId('bench')));
  });
}

async function addAll(slots: Slots): Promise<void> {
  const field = byId<HTMLTextAreaElement>('addresses');
  const lines = field.value.split(/\s+/).filter(Boolean);
  const sources = (await Promise.all(lines.map(sourcesOf))).flat();
  if (sources.length === 0) return say('Enter an address, or a model id such as org/model.');
  field.value = '';
  slots.add(sources);
}

async function sourcesOf(line: string): Promise<Source[]> {
  const address = readAddress(line);
  if (!address)
    throw new BitxError('invalid-argument', `${line} is neither an address of the web nor a model id.`);
  if (address.kind === 'url') return [ofUrl(address.url)];
  return filesOfModel(byId<HTMLInputElement>('id-hub').value, address.id, address.revision);
}

/** Returns the files of a hub's model that make up its weights. */
async function filesOfModel(hub: string, id: string, revision: string): Promise<Source[]> {
  const url = listingUrl(hub, id, revision).href;
  const answer = await fetch(url).catch((error: unknown) => {
    throw new BitxError('network', `${url} cannot be reached: ${error}`, { url });
  });
  if (!answer.ok) {
    const { status } = answer;
    // A hub does not tell strangers whether a model is missing or private.
    const code = [401, 403, 404].includes(status) ? 'not-found' : 'network';
    const message = `${id} was not found at ${new URL(hub).host}: status ${status}`;
    throw new BitxError(code, message, { url, status });
  }
  const paths = listedPaths(await answer.json().catch(() => undefined));
  const { models, deltas } = groupFiles(paths.map((path) => ({ path: `${id}/${path}` })));
  // The files of the model itself lie beside its README; those below are other formats of it.
  const own = models.toSorted((a, b) => depth(a.files[0]?.path) - depth(b.files[0]?.path))[0];
  const wanted = (own ?? deltas[0])?.files ?? [];
  if (wanted.length === 0) throw new BitxError('not-found', `${id} has no file of weights that bitx knows.`);
  return wanted.map(({ path }) => ({ path, file: fileUrl(hub, id, revision, path.slice(id.length + 1)) }));
}

function depth(path = ''): number {
  return path.split('/').length;
}
