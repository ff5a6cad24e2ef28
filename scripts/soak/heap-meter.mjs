/** The interval between measurements, in milliseconds. */
const INTERVAL = 100;

/**
 * Measures the JavaScript heaps of a page and all its workers: the objects and their buffers,
 * without WebAssembly memories.
 */
export class HeapMeter {
  #heaps = new Map();
  #timer;
  peak = 0;

  static async start(page) {
    const meter = new HeapMeter();
    await meter.#watch(rootTarget(await page.context().newCDPSession(page)));
    meter.#timer = setInterval(() => meter.#look(), INTERVAL);
    return meter;
  }

  stop() {
    clearInterval(this.#timer);
    return this.peak;
  }

  async #watch(target) {
    this.#heaps.set(target, { bytes: 0, asked: false });
    target.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => {
      // The worker may have ended meanwhile.
      if (targetInfo.type === 'worker') this.#watch(childTarget(target, sessionId)).catch(() => {});
    });
    const options = { autoAttach: true, waitForDebuggerOnStart: false, flatten: false };
    await target.send('Target.setAutoAttach', options);
  }

  /**
   * Asks all heaps for their size. A busy thread answers later, and its last answer counts until
   * then.
   */
  #look() {
    for (const [target, heap] of this.#heaps) {
      if (heap.asked) continue;
      heap.asked = true;
      target.send('Runtime.getHeapUsage').then(
        ({ usedSize, backingStorageSize }) => {
          Object.assign(heap, { bytes: usedSize + backingStorageSize, asked: false });
          this.#add();
        },
        () => this.#heaps.delete(target),
      );
    }
  }

  #add() {
    const sum = [...this.#heaps.values()].reduce((total, { bytes }) => total + bytes, 0);
    this.peak = Math.max(this.peak, sum);
  }
}

function rootTarget(session) {
  return {
    send: (method, params) => session.send(method, params),
    on: (event, listener) => session.on(event, listener),
  };
}

/** A target that is reached through its parent, such as a worker of a worker. */
function childTarget(parent, sessionId) {
  const listeners = [];
  const waiting = new Map();
  let lastId = 0;
  parent.on('Target.receivedMessageFromTarget', ({ sessionId: from, message }) => {
    if (from !== sessionId) return;
    const { id, result, error, method, params } = JSON.parse(message);
    if (id === undefined) for (const [event, listener] of listeners) if (event === method) listener(params);
    if (id === undefined) return;
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  });
  return {
    on: (event, listener) => listeners.push([event, listener]),
    send: async (method, params) => {
      const id = ++lastId;
      const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
      // The answer may fail before `send` returns, and must not count as an unhandled rejection.
      answer.catch(() => {});
      await parent.send('Target.sendMessageToTarget', {
        sessionId,
        message: JSON.stringify({ id, method, params }),
      });
      return answer;
    },
  };
}
