/// <reference types="node" />
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { env } from 'node:process';
import type { CacheOptions } from '../../cache/types.js';
import { BitxError, type Peer } from '../../common/index.js';
import { Worker } from './globals.js';
import { freeLocks } from './locks.js';
import { StoredFile } from './stored-file.js';

/** The only backend in Node, since the others would not last. */
export const DEFAULT_BACKEND = 'opfs';

/** Starts the cache's worker in a thread that has a folder for storage. */
export function startPeer({ backend, directory = defaultDirectory(), workerUrl }: CacheOptions): {
  peer: Peer;
} {
  if ((backend ?? DEFAULT_BACKEND) !== DEFAULT_BACKEND) {
    throw new BitxError('unsupported', `In Node, the backend must be opfs, not ${backend}`);
  }
  const script = workerUrl ?? new URL('./cache-worker.js', import.meta.url);
  const folder = resolve(directory);
  const worker = new Worker(script, { directory: folder });
  worker.onexit = (thread) => void freeLocks(folder, thread);
  return { peer: worker as unknown as Peer };
}

/** Returns a file from its path and its size, which the worker sent. */
export function received(file: File): File {
  return new StoredFile(file as unknown as ConstructorParameters<typeof StoredFile>[0]);
}

function defaultDirectory(): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'bitx-wasm');
}
