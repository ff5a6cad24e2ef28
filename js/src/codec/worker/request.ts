import type { Request } from '../protocol.js';
import type { Files } from './reader.js';

/** The arguments of `Job.open`. */
export type Opening = [request: string, text: string | undefined];

/** Returns the arguments that open a job of the core for an operation, which it calls `operation`. */
export async function openingOf(
  { operation: own, options, sources }: Request,
  files: Files,
  operation: string,
): Promise<Opening> {
  const adapter = files.sizes('adapter');
  const [length = 0] = [...files.sizes('target'), ...files.sizes('delta'), ...adapter];
  const graphs = files.sizes('graph');
  const base = [...files.sizes('base'), ...(own === 'merge' ? [] : [...adapter, ...graphs])];
  const configs = await Promise.all((sources.config ?? []).map((_, file) => files.start('config', file)));
  const { name, ...fields } = options;
  const decoder = new TextDecoder();
  const text = sources.config ? configs.map((config) => decoder.decode(config)).join('\0') : name;
  const counts = { graphs: graphs.length, adapters: adapter.length };
  return [requestOf({ ...fields, ...counts, operation, base, length }), text];
}

/** Returns a request to the core: lines of a field's name and its value. A list has a line each. */
export function requestOf(fields: object): string {
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined);
  return lines.flatMap(([field, value]) => [value].flat().map((one) => `${field} ${one}`)).join('\n');
}
