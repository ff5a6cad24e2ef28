'use client';

import { useRestored } from './use-restored.js';

export default function Page() {
  const { text, error } = useRestored('/models/base.safetensors', '/models/fine-tune.bitx');
  return <output>{error ? error.message : text}</output>;
}
