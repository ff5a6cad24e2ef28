/**
 * Starts another worker with the same script, so that bundlers see only one. Resolves once the
 * worker listens.
 */
export async function spawn(): Promise<Worker> {
  const worker = new Worker(self.location.href, { type: ownType() });
  return new Promise((resolve, reject) => {
    worker.onmessage = () => resolve(worker);
    worker.onerror = ({ message }) => reject(new Error(`a worker failed: ${message}`));
  });
}

/**
 * Returns the type of this worker. Some bundlers, such as that of Next.js, turn the script into one
 * for classic workers, which does not run in a module worker.
 */
function ownType(): WorkerType {
  try {
    // Only classic workers permit the call; without arguments it does nothing.
    (self as unknown as { importScripts(): void }).importScripts();
    return 'classic';
  } catch {
    return 'module';
  }
}
