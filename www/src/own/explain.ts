import { BitxError } from 'bitx-wasm';
import { kindOf } from './kind.js';
import { type Model, type Source, sourceName } from './source.js';

/** The models of a task by the names that the engine's errors use. */
export type Roles = Partial<Record<'base' | 'delta' | 'target' | 'adapter', Model>>;

/** An error of the engine, with the file at fault in words. */
export class Explained extends Error {
  override readonly name = 'Explained';

  /**
   * `sentence` names the file, such as `photo.png is a PNG image, not a model.` `title` replaces
   * that of the error's code.
   */
  constructor(
    readonly fault: BitxError,
    readonly sentence: string,
    readonly title?: string,
  ) {
    super(fault.message, { cause: fault });
  }
}

/** The codes of errors that lie in the content of a file. */
const OF_CONTENT = ['format', 'corrupt', 'truncated', 'unsupported', 'base-mismatch', 'invalid-argument'];

/** The time after which an address counts as silent, in milliseconds. */
const SILENT_MS = 5000;

/** Returns an error that names the reader's file and, if it is no model, its kind. */
export async function explained(error: unknown, roles: Roles, signal: AbortSignal): Promise<unknown> {
  if (!(error instanceof BitxError) || !OF_CONTENT.includes(error.code)) return error;
  const role = (error.file ?? (error.code === 'base-mismatch' ? 'base' : '')).replace(/\W.*$/, '');
  const suspects = [roles[role as keyof Roles], ...Object.values(roles)].filter((model) => !!model);
  const [first] = suspects;
  for (const model of suspects) {
    const sentence = await describeOdd(model, model === roles.delta, signal);
    if (sentence) return new Explained(error, sentence);
  }
  if (!first || !(role in roles)) return error;
  return new Explained(error, sentenceAbout(first, roles, error.code));
}

function sentenceAbout(model: Model, { base, delta }: Roles, code: string): string {
  if (code === 'base-mismatch' && model === base && delta) {
    return `${delta.name} was made against another model than ${base.name}.`;
  }
  return `The error is about ${model.name}.`;
}

/** Returns a sentence about a file that is no model, or no archive. */
export async function describeOdd(
  { files }: Model,
  delta: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const source of files) {
    const kind = kindOf(await beginning(source, signal));
    if (kind && (!delta || kind !== 'an archive of bitx')) {
      return `${sourceName(source)} is ${kind}, not ${delta ? 'a delta' : 'a model'}.`;
    }
  }
  return undefined;
}

/** Returns the first bytes of a file. An address that does not answer in time has none. */
async function beginning({ file }: Source, signal: AbortSignal): Promise<Uint8Array> {
  if (file instanceof File) return new Uint8Array(await file.slice(0, 64).arrayBuffer());
  const over = AbortSignal.any([signal, AbortSignal.timeout(SILENT_MS)]);
  try {
    const answer = await fetch(file, { headers: { range: 'bytes=0-63' }, signal: over });
    const reader = answer.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    // The server may send more than the range, and without an end.
    void reader?.cancel().catch(() => {});
    return value?.subarray(0, 64) ?? new Uint8Array();
  } catch {
    signal.throwIfAborted();
    return new Uint8Array();
  }
}
