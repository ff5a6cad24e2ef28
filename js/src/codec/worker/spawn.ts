/**
 * Starts another worker with the same script, so that bundlers see only one. Resolves once the
 * worker listens.
 */
export async function spawn(): Promise<Worker> {
  const worker = new Worker(self.location.href, { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.onmessage = () => resolve(worker);
    worker.onerror = ({ message }) => reject(new Error(`a worker did not start: ${message}`));
  });
}
