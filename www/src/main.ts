import { Bitx, BitxError } from 'bitx-wasm';
import { byId } from './dom.js';
import { showError } from './errors.js';
import { Slots, type Task } from './files.js';
import { bytes, threads } from './format.js';
import { HubPanel } from './hub.js';
import { clearResult, reveal } from './result.js';
import { type Context, runSample, runTask, type TaskProgress } from './tasks.js';

const PHASES = {
  download: 'Fetching',
  restore: 'Restoring',
  compress: 'Compressing',
  digest: 'Reading',
  upload: 'Sending',
};
const GO: Record<Task['kind'], string> = {
  restore: 'Restore the model',
  compress: 'Make a .bitx',
  inspect: 'Look inside',
};

const sampleButton = byId<HTMLButtonElement>('sample');
const goButton = byId<HTMLButtonElement>('go');
const slots = new Slots(filesChanged, refuseFolder);
let bitx: Bitx | undefined;
let running: AbortController | undefined;
const hubPanel = new HubPanel(perform);

sampleButton.addEventListener('click', () => void perform(runSample));
goButton.addEventListener('click', () => void goOn());
byId('cancel').addEventListener('click', () => running?.abort());
void start();

async function start(): Promise<void> {
  try {
    bitx = await Bitx.create();
    showEngine(bitx);
  } catch (error) {
    byId('engine').textContent = 'not available';
    showError(error);
  }
  updateButtons();
}

function showEngine({ mode, threads: count }: Bitx): void {
  const engine = byId('engine');
  engine.textContent = threads(count);
  engine.dataset.mode = mode;
  engine.title = {
    threads: 'This page is cross-origin isolated, so threads can share memory.',
    pool: 'This page is not cross-origin isolated, so each thread has its own memory.',
    single: 'Several threads cannot be used here, so one does the work.',
  }[mode];
}

/** Updates the page. A delta alone is inspected at once: that is cheap and needs no base. */
function filesChanged(): void {
  updateButtons();
  if (slots.task?.kind === 'inspect') void goOn();
}

/** Explains that a folder was dropped, whose files the page does not see. */
function refuseFolder(name: string): void {
  if (running) return;
  clearResult();
  showError(new BitxError('invalid-argument', `${name} is a folder.`));
  reveal();
}

async function goOn(): Promise<void> {
  const { task } = slots;
  if (task) await perform((bitx, context) => runTask(bitx, task, context));
}

/** Runs a task unless one is running, and shows its progress and its error. */
async function perform(task: (bitx: Bitx, context: Context) => Promise<void>): Promise<void> {
  if (!bitx || running) return;
  running = new AbortController();
  clearResult();
  showProgress();
  byId('work').scrollIntoView({ behavior: 'smooth', block: 'nearest' });
  updateButtons();
  try {
    await task(bitx, { signal: running.signal, onProgress: showProgress });
  } catch (error) {
    if (!(error instanceof BitxError && error.code === 'aborted') && !running.signal.aborted)
      showError(error);
  }
  running = undefined;
  byId('work').hidden = true;
  showEngine(bitx);
  updateButtons();
  reveal();
}

function showProgress(progress?: TaskProgress): void {
  byId('work').hidden = false;
  const bar = byId<HTMLProgressElement>('work-bar');
  if (progress?.total) bar.value = progress.loaded / progress.total;
  else bar.removeAttribute('value');
  byId('work-text').textContent = progress ? progressText(progress) : 'Getting ready';
}

function progressText({ phase, loaded, total }: TaskProgress): string {
  return `${PHASES[phase]} ${bytes(loaded)}${total ? ` of ${bytes(total)}` : ''}`;
}

function updateButtons(): void {
  const { task } = slots;
  const idle = bitx !== undefined && running === undefined;
  hubPanel.enable(idle);
  sampleButton.disabled = !idle;
  goButton.disabled = !idle || !task;
  goButton.textContent = task ? GO[task.kind] : 'Choose files first';
  byId('effort-choice').hidden = task?.kind !== 'compress';
  byId('hint').textContent = task?.kind === 'inspect' ? 'Add its base to restore the model.' : '';
}
