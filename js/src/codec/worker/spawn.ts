/** Starts another worker that runs this very script, so that bundlers see one; resolves once it listens. */
export async function spawn(): Promise<Worker> {
  const worker = new Worker(self.location.href, { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.onmessage = () => resolve(worker);
    worker.onerror = ({ message }) => reject(new Error(`a worker did not start: ${message}`));
  });
}
