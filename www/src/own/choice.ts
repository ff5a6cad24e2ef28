import { type Groups, groupFiles } from './groups.js';
import { describe, type Model, type Source } from './source.js';

/** The models that the reader has chosen. */
export interface Choice {
  base?: Model | undefined;
  other?: Model | undefined;
}

/** A choice after further files, and a sentence about what became of them. */
export interface Chosen {
  choice: Choice;
  note: string;
}

/** Adds files to a choice. It says which earlier ones they replace and which find no place. */
export function addFiles(before: Choice, sources: Source[]): Chosen {
  const groups = groupFiles(sources);
  if (groups.models.length + groups.deltas.length === 0) {
    return { choice: before, note: noModels(sources) };
  }
  const choice = place(before, groups);
  const used = [choice.base, choice.other];
  const left = [...groups.models, ...groups.deltas].filter((group) => !used.includes(group));
  const gone = [before.base, before.other].filter((old) => old && !used.includes(old)) as Model[];
  const parts = [
    ...(gone.length > 0 ? [`Replaced: ${gone.map(({ name }) => name).join(', ')}.`] : []),
    ...(left.length > 0 ? [`Not taken: ${listed(left)}. Two models at a time.`] : []),
  ];
  return { choice, note: parts.join(' ') };
}

function place(before: Choice, { models, deltas }: Groups<Source>): Choice {
  const [first, second] = models;
  const [delta] = deltas;
  if (delta) return { base: first ?? before.base, other: delta };
  if (first && second) {
    const base = models.find(({ name }) => /base/i.test(name)) ?? first;
    return { base, other: models.find((model) => model !== base) };
  }
  if (before.base && !before.other) return { base: before.base, other: first };
  return { ...before, base: first };
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
