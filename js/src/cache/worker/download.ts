import {
  type Answer,
  BitxError,
  isStrong,
  Patience,
  type Remote,
  type RemoteOptions,
  Restart,
  Transient,
} from '../../common/index.js';
import { fits, type Integrity, requireFit } from '../integrity.js';
import type { Settings } from '../messages.js';
import type { Meter } from './meter.js';
import { fetchChunks } from './ranges.js';
import { type Manifest, type PartMeta, storedBytes } from './records.js';
import { RefreshingRemote } from './refreshing.js';
import type { Sealed } from './seal.js';
import { checkQuota } from './storage-errors.js';
import type { Entry } from './stores/store.js';
import { storeStream } from './stream.js';

/** The number of times that a download may start, the first included. */
const MOST_STARTS = 4;

export interface Download {
  entry: Entry;
  remote: Omit<RemoteOptions, 'signal' | 'stallTimeout'>;
  /** Returns another URL for one that the server refuses. */
  refresh: ((url: string, status: number) => Promise<string>) | undefined;
  integrity: Integrity | undefined;
  settings: Settings;
  /** `true` if the entry reserves all of its space when it begins. */
  reserves: boolean;
  meter: Meter;
  signal: AbortSignal;
}

/** The settings of an attempt. */
interface Approach {
  resume: boolean;
  ranges: boolean;
}

/** Downloads a model, or its missing chunks, and commits it. */
export async function download(job: Download): Promise<Manifest> {
  let approach: Approach = { resume: true, ranges: true };
  for (let starts = 1; ; starts++) {
    try {
      return await attempt(job, approach);
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
      if (starts === MOST_STARTS) throw givenUp(error);
      approach = { resume: false, ranges: approach.ranges && error.reason === 'changed' };
    }
  }
}

/** Returns the error of a download that started too often. */
function givenUp(cause: Restart): BitxError {
  const { url = '' } = cause;
  return new BitxError('network', `${cause.message}, ${MOST_STARTS} times in a row`, { url, cause });
}

async function attempt(job: Download, { resume, ranges }: Approach): Promise<Manifest> {
  const stop = new AbortController();
  const signal = AbortSignal.any([job.signal, stop.signal]);
  const remote = new RefreshingRemote(
    { ...job.remote, stallTimeout: job.settings.stallTimeout, signal },
    job.refresh,
  );
  const parts = resume ? resumable(job) : undefined;
  if (parts) return resumeParts({ ...job, signal }, remote, stop, parts);
  if (!ranges) return streamWhole(job, remote, signal);
  const patience = new Patience(job.settings, signal);
  const answer = await remote
    .open(job.settings.chunkSize, patience)
    .catch((error: unknown) => withoutRanges(error, remote));
  if (!answer.ranged) return streamWhole(job, remote, signal, answer);
  const meta = await begin(job, answer);
  return finish(job, meta, await fetchChunks({ ...job, meta, remote, stop, signal }, answer));
}

/**
 * Returns the record of an incomplete model, if it can be proved that further chunks will belong to
 * the same file.
 */
function resumable({ entry, integrity }: Download): (PartMeta & { size: number }) | undefined {
  const meta = entry.record?.meta;
  if (!meta?.ranged || meta.size === undefined) return undefined;
  const provable = isStrong(meta.validator) || integrity !== undefined || meta.expected !== undefined;
  return provable ? { ...meta, size: meta.size } : undefined;
}

async function resumeParts(
  job: Download,
  remote: Remote,
  stop: AbortController,
  meta: PartMeta & { size: number },
): Promise<Manifest> {
  const { entry, integrity } = job;
  const stored = entry.record ? storedBytes(entry.record) : 0;
  if (!job.reserves) await checkQuota(meta.size - stored);
  remote.facts = { size: meta.size, validator: meta.validator };
  const sealed = await fetchChunks({ ...job, meta, remote, stop });
  if (integrity && !fits(sealed.digests, integrity)) {
    throw new Restart(meta.url, 'changed', {}, 'has stored chunks without the required digest');
  }
  return finish(job, meta, sealed);
}

/**
 * Tries a download without ranges before an error is reported. Browsers reject compressed ranges
 * with an error that looks like an unreachable server.
 */
async function withoutRanges(error: unknown, remote: Remote): Promise<never> {
  if (!(error instanceof Transient) || error.status !== undefined) throw error;
  const { transfer } = await remote.whole().catch(() => Promise.reject(error));
  transfer.end();
  throw new Restart(transfer.url, 'rangeless');
}

/** Downloads from a server without ranges. Every retry begins at the start of the file. */
async function streamWhole(
  job: Download,
  remote: Remote,
  signal: AbortSignal,
  first?: Answer,
): Promise<Manifest> {
  const patience = new Patience(job.settings, signal);
  for (let answer = first; ; answer = undefined) {
    try {
      answer ??= await remote.whole();
      const meta = await begin(job, answer);
      const sealed = await storeStream(job.entry, meta, answer.transfer.parts(), job.meter);
      if (sealed.size !== (meta.size ?? sealed.size)) throw brokenOff(meta.url, meta.size, sealed.size);
      return await finish(job, meta, sealed);
    } catch (error) {
      await patience.after(error).catch(() => giveUp(job.entry, error));
    } finally {
      answer?.transfer.end();
    }
  }
}

/** Removes what a download without ranges has stored, since it cannot be resumed, and fails. */
async function giveUp(entry: Entry, error: unknown): Promise<never> {
  await entry.clear();
  throw error;
}

/**
 * Begins the entry of a new file, after the server has confirmed that the file exists, and before
 * its first byte.
 */
async function begin(job: Download, answer: Answer): Promise<PartMeta & { size: number }> {
  const { entry, settings, remote } = job;
  const { size, ranged, validator } = answer;
  try {
    await entry.clear();
    if (size !== undefined) await checkQuota(size);
    const meta = { url: remote.url, chunkSize: settings.chunkSize, size, ranged, validator, labels: {} };
    await entry.begin(meta);
    return meta as PartMeta & { size: number };
  } catch (error) {
    answer.transfer.end();
    throw error;
  }
}

/** Commits a sealed model; throws if it does not have the required digest. */
export async function finish(
  { entry, integrity }: Pick<Download, 'entry' | 'integrity'>,
  { url, chunkSize, validator, labels }: PartMeta,
  sealed: Sealed,
): Promise<Manifest> {
  const { digests, chunks } = sealed;
  if (integrity && !fits(digests, integrity)) await entry.clear();
  requireFit(url, digests, integrity);
  const manifest: Manifest = {
    version: 1,
    ...{ url, size: sealed.size, chunkSize, chunks, validator, labels, storedAt: Date.now() },
    ...digests,
  };
  await entry.commit(manifest);
  return manifest;
}

function brokenOff(url: string, expected: number, found: number): Transient {
  return new Transient(`${url} broke off after ${found} of ${expected} bytes`, { url, expected, found });
}
