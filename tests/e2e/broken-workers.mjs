/**
 * Marks the workers of a pool, and makes them fault after the self-test and `windows` further
 * windows.
 */
const inMembers = (windows, fault) => inCalls('job_run', 1 + windows, fault);

/** Marks the workers of a pool, and makes them fault in a function after so many calls of it. */
const inCalls = (name, calls, fault) => `
  self.addEventListener('message', ({ data }) => {
    if (data.method === 'load') self.member = true;
  });
  ${wrapExports(`
    ${name}(...args) {
      if (self.member && ++self.runs > ${calls}) { ${fault} }
      return exports.${name}(...args);
    }`)}`;

/** Gives calls of a worker that compresses a shorter time limit. */
const SHORT = `
  const { setTimeout } = self;
  self.setTimeout = (action, ms, ...args) => setTimeout(action, ms === 60_000 ? 1000 : ms, ...args);`;

/**
 * Worker scripts that change something and then run the real script. Most break it, like some
 * browsers.
 */
const BREAKAGES = {
  /** Threads that never start. */
  'hanging-threads': `self.Worker = class { postMessage() {} }`,

  /** A device that refuses large shared memories. */
  'no-shared-memory': `
    const Memory = WebAssembly.Memory;
    WebAssembly.Memory = function (limits) {
      if (limits.shared) throw new RangeError('could not allocate memory');
      return new Memory(limits);
    }`,

  /** Threads that start and then fault, while the host waits for them. */
  'dying-threads': wrapExports(
    `wbg_rayon_start_worker() { throw new WebAssembly.RuntimeError('unreachable'); }`,
  ),

  /** A pool whose workers never start; the helper that reads does. */
  'hanging-members': `
    const { Worker } = self;
    let started = 0;
    self.Worker = function (...args) {
      return ++started > 1 ? { postMessage() {} } : new Worker(...args);
    }`,

  /** Workers of a pool that compute wrong results. */
  'wrong-members': inMembers(-1, 'return [0, 0];'),

  /** Workers of a pool that fault after a while. */
  'dying-members': inMembers(2, `throw new WebAssembly.RuntimeError('unreachable');`),

  /** Workers of a pool that stop answering after a while; the host has a short time limit. */
  'silent-members': `
    const { setTimeout } = self;
    self.setTimeout = (action, ms, ...args) => setTimeout(action, ms === 20_000 ? 1000 : ms, ...args);
    ${inMembers(2, 'for (;;);')}`,

  /** Workers of a pool that end after a while, between two windows. */
  'ending-members': `
    const { setTimeout } = self;
    self.setTimeout = (action, ms, ...args) => setTimeout(action, ms === 20_000 ? 1000 : ms, ...args);
    ${inMembers(2, 'setTimeout(() => self.close());')}`,

  /** Workers that compress and fault after a while, in either part of a window. */
  'dying-searchers': inCalls('job_search', 1, `throw new WebAssembly.RuntimeError('unreachable');`),
  'dying-coders': inCalls('job_code', 1, `throw new WebAssembly.RuntimeError('unreachable');`),

  /** Workers that compress and stop answering after a while. */
  'silent-coders': `${SHORT} ${inCalls('job_code', 1, 'for (;;);')}`,

  /** Workers that compress and end after a while, between the parts of a window. */
  'ending-coders': `${SHORT} ${inCalls('job_search', 1, 'setTimeout(() => self.close());')}`,

  /** Browsers that open a file in one worker only, and do not tell so. */
  'no-modes': `
    const { createSyncAccessHandle } = FileSystemFileHandle.prototype;
    FileSystemFileHandle.prototype.createSyncAccessHandle = function () {
      return createSyncAccessHandle.call(this);
    };
    delete FileSystemSyncAccessHandle.prototype.mode;`,

  /** Code that hangs while an archive opens, for as long as the server says so. */
  'hanging-open': wrapExports(`
    job_take(...args) {
      const request = new XMLHttpRequest();
      request.open('GET', '/hangs', false);
      request.send();
      if (request.responseText === 'yes') for (;;);
      return exports.job_take(...args);
    }`),

  /** Reports every range that is read to the page, on a channel. */
  'counting-reads': `
    const channel = new BroadcastChannel('reads');
    const { slice } = Blob.prototype;
    Blob.prototype.slice = function (start, end) {
      channel.postMessage({ size: this.size, start, end });
      return slice.call(this, start, end);
    }`,

  /** A private window of Firefox. */
  'no-storage': `
    navigator.storage.getDirectory = async () => {
      throw new DOMException('Security error', 'SecurityError');
    };`,

  /** Safari before 26. */
  'no-writable': `delete FileSystemFileHandle.prototype.createWritable`,

  /** A file like one that the user picked, which no access handle can write. */
  'no-access': `
    delete FileSystemFileHandle.prototype.createSyncAccessHandle;
    delete FileSystemHandle.prototype.move;
    delete FileSystemFileHandle.prototype.move`,

  /** A clock that runs fifty times as fast for network timeouts. */
  impatient: `
    const { setTimeout } = self;
    self.setTimeout = (action, ms, ...args) => setTimeout(action, ms / 50, ...args)`,

  /** Code that faults after the start, and only with threads. The self-test takes one window. */
  'late-fault': wrapExports(`
    job_run(...args) {
      if (exports.memory.buffer instanceof SharedArrayBuffer && ++self.runs > 1) {
        throw new WebAssembly.RuntimeError('unreachable');
      }
      return exports.job_run(...args);
    }`),
};

function wrapExports(replacement) {
  return `
    self.runs = 0;
    const { Instance } = WebAssembly;
    WebAssembly.Instance = function (...args) {
      const { exports } = new Instance(...args);
      return { exports: { ...exports, ${replacement} } };
    };`;
}

/** Mounts of the server in support.mjs. */
export const brokenWorkers = Object.fromEntries(
  Object.entries(BREAKAGES).map(([name, script]) => [
    `/broken/${name}.js`,
    (_, response) =>
      response
        .writeHead(200, { 'content-type': 'text/javascript' })
        .end(`${script};\nawait import('/bitx/worker.js');\n`),
  ]),
);
