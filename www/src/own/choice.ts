import { isAdapter, isConfig } from './adapter.js';
import { type Groups, groupFiles } from './groups.js';
import { describe, type Model, type Source, sizeOf } from './source.js';

/** The models that the reader has chosen. */
export interface Choice {
  base?: Model | undefined;
  other?: Model | undefined;
  /** The configuration of the other model, which is then an adapter. */
  config?: Source | undefined;
}

/** A choice after further files, and a sentence about what became of them. */
export interface Chosen {
  choice: Choice;
  note: string;
}

/** Adds files to a choice. It says which earlier ones they replace and which find no place. */
export function addFiles(before: Choice, sources: Source[]): Chosen {
  const config = sources.find(isConfig);
  const groups = groupFiles(sources.filter((source) => !isConfig(source)));
  if (groups.models.length + groups.deltas.length === 0) {
    return config ? { choice: { ...before, config }, note: '' } : { choice: before, note: noModels(sources) };
  }
  const choice = place(before, groups, config !== undefined);
  // A configuration belongs to the adapter that came with it, or that comes after it.
  const kept = !before.other || choice.other === before.other ? before.config : undefined;
  choice.config = config ?? kept;
  const used = [choice.base, choice.other];
  const left = [...groups.models, ...groups.deltas].filter((group) => !used.includes(group));
  const gone = [before.base, before.other].filter((old) => old && !used.includes(old)) as Model[];
  const parts = [
    ...(gone.length > 0 ? [`Replaced: ${gone.map(({ name }) => name).join(', ')}.`] : []),
    ...(left.length > 0 ? [`Not taken: ${listed(left)}. Two models at a time.`] : []),
  ];
  return { choice, note: parts.join(' ') };
}

function place(before: Choice, { models, deltas }: Groups<Source>, configured: boolean): Choice {
  const [first, second] = models;
  const [delta] = deltas;
  if (delta) return { base: first ?? before.base, other: delta };
  const adapter = models.find(isAdapter) ?? (configured && second ? smallest(models) : undefined);
  if (adapter) return { base: models.find((model) => model !== adapter) ?? before.base, other: adapter };
  if (first && second) {
    const base = models.find(({ name }) => /base/i.test(name)) ?? first;
    return { base, other: models.find((model) => model !== base) };
  }
  if (before.base && !before.other) return { base: before.base, other: first };
  return { ...before, base: first };
}

function smallest(models: Model[]): Model | undefined {
  return models.toSorted((a, b) => (sizeOf(a) ?? 0) - (sizeOf(b) ?? 0))[0];
}

function noModels(sources: Source[]): string {
  const [first] = sources;
  const folder = first?.path.includes('/') ? first.path.split('/')[0] : undefined;
  return folder
    ? `No model was found in ${folder}: it has neither .safetensors, .gguf, .onnx nor .bin files.`
    : 'No file was found there.';
}

/** Names the first of some models, and counts the others. */
function listed(models: Model[]): string {
  const names = models.slice(0, 3).map(describe);
  const more = models.length - names.length;
  return more > 0 ? `${names.join('; ')} and ${more.toLocaleString('en')} more` : names.join('; ');
}
