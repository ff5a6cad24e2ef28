import description from '../../generated/sample.json';
import type { Picture } from './picture.js';

/** An archive of the sample, and the model that it restores to. */
interface SampleFile {
  file: string;
  storedBytes: number;
  bytes: number;
  sha256: string;
}

/** A fine-tune of the sample. */
export interface Tune extends SampleFile {
  id: string;
  title: string;
  about: string;
}

/** The sample: a real transformer block as base, and real fine-tunes of it. */
export const sample: { base: SampleFile; tunes: Tune[]; picture: Picture } = description;

/** Returns the address of a file of the sample, in whatever folder the page lies. */
export function sampleUrl({ file }: SampleFile): string {
  return new URL(`./sample/${file}`, document.baseURI).href;
}
