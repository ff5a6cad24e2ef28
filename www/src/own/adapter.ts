import { type Model, ofUrl, type Source } from './source.js';

/** The name of the configuration of a LoRA adapter of PEFT. */
const CONFIG = 'adapter_config.json';

/** The usual name of an adapter's factors. */
const FACTORS = /(^|\/)adapter_model[^/]*\.safetensors$/i;

/** Returns `true` for the configuration of an adapter. */
export function isConfig({ path }: Source): boolean {
  return path.split('/').at(-1) === CONFIG;
}

/** Returns `true` for an adapter, by the name that PEFT gives it. */
export function isAdapter({ files: [file, ...more] }: Model): boolean {
  return file !== undefined && more.length === 0 && FACTORS.test(file.path);
}

/** Returns the configuration beside an adapter at an address. */
export function configBeside({ files: [source] }: Model): Source | undefined {
  return source?.file instanceof URL ? ofUrl(new URL(CONFIG, source.file)) : undefined;
}
