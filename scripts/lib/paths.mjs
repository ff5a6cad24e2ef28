import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
export const rustupHome = process.env.RUSTUP_HOME ?? join(homedir(), '.rustup');
export const cargoBin = join(cargoHome, 'bin');
export const toolFolder = process.env.BITX_TOOLS ?? join(root, '.tools');
export const toolBin = join(toolFolder, 'bin');
export const packageDist = join(root, 'js', 'dist');
export const demoDist = join(root, 'www', 'dist');
