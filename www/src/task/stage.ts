import { type Bitx, BitxError, type Progress } from 'bitx-wasm';
import type { HubProgress } from 'bitx-wasm/hub';
import { byId, make } from '../dom.js';
import { engine, showEngine } from '../engine.js';
import { showError } from '../errors.js';
import { bytes, duration } from '../format.js';
import { clearResult, reveal } from '../result.js';
import { type Live, LiveFigures } from './live.js';
import { TimeLeft } from './time-left.js';

/** The progress of a task, in bytes. */
export type TaskProgress = Pick<HubProgress, 'loaded' | 'total'> & {
  phase: HubProgress['phase'] | Progress['phase'];
};

/** The arguments of every task. */
export interface Context {
  signal: AbortSignal;
  onProgress: (progress?: TaskProgress) => void;
  /** Shows figures beside the progress. */
  live: (live: Live) => void;
}

/** A task. It gets the engine as a promise, so that it can fetch while the engine starts. */
export type Work = (ready: Promise<Bitx>, context: Context) => Promise<void>;

/** Runs one task at a time, and shows it below `section`, where the user began it. */
export type Perform = (work: Work, section: HTMLElement) => Promise<void>;

const PHASES = {
  download: 'Fetching',
  restore: 'Restoring',
  compress: 'Compressing',
  merge: 'Merging',
  digest: 'Reading',
  upload: 'Sending',
};

const live = new LiveFigures();
let timeLeft = new TimeLeft();
let running: AbortController | undefined;
let phase = '';
const listeners: (() => void)[] = [];

/** Calls `listener` whenever a task begins or ends. */
export function onTaskChange(listener: () => void): void {
  listeners.push(listener);
}

export function isRunning(): boolean {
  return running !== undefined;
}

export function cancelTask(): void {
  running?.abort();
}

/** Runs a task unless one is running, and shows its progress, its error or its cancellation. */
export const perform: Perform = async (work, section) => {
  if (running) return;
  running = new AbortController();
  const { signal } = running;
  begin(section);
  const ready = abortable(engine(), signal);
  // The task may fail before it needs the engine.
  ready.then(({ threads }) => live.update({ threads })).catch(() => {});
  try {
    await work(ready, { signal, onProgress: showProgress, live: (figures) => live.update(figures) });
  } catch (error) {
    if (isAbort(error) || signal.aborted) showNotice(`Cancelled while ${phase}. No result was kept.`);
    else showError(error);
  }
  running = undefined;
  byId('work').hidden = true;
  await ready.then(showEngine).catch(() => {});
  for (const listener of listeners) listener();
  reveal();
};

/** Shows an error that no running task has, below a section. */
export function showFault(error: unknown, section: HTMLElement): void {
  if (running) return;
  section.after(byId('stage'));
  clearResult();
  showError(error);
  reveal();
}

/** Shows a sentence that is neither a result nor an error. */
export function showNotice(text: string): void {
  byId('notice').replaceChildren(make('p', {}, text));
  byId('notice').hidden = false;
}

function begin(section: HTMLElement): void {
  section.after(byId('stage'));
  clearResult();
  timeLeft = new TimeLeft();
  live.reset();
  showProgress();
  byId('work').scrollIntoView({ block: 'nearest' });
  for (const listener of listeners) listener();
}

function isAbort(error: unknown): boolean {
  return error instanceof BitxError && error.code === 'aborted';
}

/** Waits for a promise no longer than until the signal aborts. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return Promise.race([promise, aborted]);
}

function showProgress(progress?: TaskProgress): void {
  byId('work').hidden = false;
  const bar = byId<HTMLProgressElement>('work-bar');
  if (progress?.total) bar.value = progress.loaded / progress.total;
  else bar.removeAttribute('value');
  byId('work-text').textContent = progress ? progressText(progress) : 'Getting ready';
  phase = progress ? PHASES[progress.phase].toLowerCase() : 'getting ready';
  if (progress?.phase === 'restore') live.update({ restoredBytes: progress.loaded });
}

function progressText({ phase, loaded, total }: TaskProgress): string {
  const left = timeLeft.seconds(phase, loaded, total, performance.now());
  const rest = left === undefined ? '' : `, ${duration(left)} left`;
  return `${PHASES[phase]} ${bytes(loaded)}${total ? ` of ${bytes(total)}` : ''}${rest}`;
}
