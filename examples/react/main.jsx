import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { useRestored } from './use-restored.js';

function Model() {
  const { text, error } = useRestored('models/base.safetensors', 'models/fine-tune.bitx');
  return <output>{error ? error.message : text}</output>;
}

createRoot(document.querySelector('main')).render(
  <StrictMode>
    <Model />
  </StrictMode>,
);
