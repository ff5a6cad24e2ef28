/// <reference types="node" />
/**
 * The script of a thread in Node: sets up the globals of a browser's worker, then runs the script
 * of the worker.
 */
import { parentPort, type TransferListItem, workerData } from 'node:worker_threads';
import { fetchFile } from './fetch-file.js';
import { Worker, withResolvers } from './globals.js';
import { folderLocks } from './locks.js';
import { FileSystemFileHandle, folderStorage } from './storage.js';

const page = parentPort as NonNullable<typeof parentPort>;
const { script, directory } = workerData as { script: string; directory?: string };
const fetchUrl = globalThis.fetch;

const scope = {
  Worker,
  // The script that further threads run.
  location: { href: script },
  addEventListener: (_: 'message', listener: (event: { data: unknown }) => void) =>
    page.on('message', (data: unknown) => listener({ data })),
  postMessage: (message: unknown, transfer: TransferListItem[] = []) => page.postMessage(message, transfer),
  fetch: (input: string | URL, init?: RequestInit) =>
    new URL(input).protocol === 'file:' ? fetchFile(new URL(input), init) : fetchUrl(input, init),
};

/** Defines globals: some runtimes, and newer versions of Node, have ones that cannot be assigned to. */
function define(values: object): void {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

define({ ...scope, self: globalThis });
Object.assign(Promise, { withResolvers });

if (directory) {
  const navigator = { storage: folderStorage(directory), locks: folderLocks(directory) };
  define({ navigator, FileSystemFileHandle });
}

await import(script);
