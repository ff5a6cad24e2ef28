//! LoRA adapters of PEFT as files: the factors, and the configuration beside them.

use std::path::{Path, PathBuf};

use bitx::layout::{Kind, Layout};
use bitx::{Compress, ErrorKind, Merge};

use crate::args::Global;
use crate::fault::Fault;
use crate::files::{Input, read_short};
use crate::folder::layout;
use crate::warning::warn;
use crate::words;

/// The name of an adapter's configuration.
const CONFIG: &str = "adapter_config.json";

/// The name of an adapter's factors in its folder.
const FACTORS: &str = "adapter_model.safetensors";

/// Maximum length of a configuration in bytes.
const LONGEST: u64 = 16 << 20;

/// Returns true for the layout of an adapter's factors.
pub fn is_adapter(layout: &Layout) -> bool {
    let factor = |name: &str| name.contains(".lora_A.") || name.ends_with(".lora_embedding_A");
    layout.kind == Kind::Safetensors && layout.regions.iter().any(|region| factor(&region.name))
}

/// Tells a compression which of its base files are adapters. An adapter that cannot be merged is
/// named in a warning, and is a base file like any other.
pub fn give(mut compress: Compress, base: &[&Input], global: &Global) -> anyhow::Result<Compress> {
    for (file, input) in base.iter().enumerate() {
        let config = input.path.with_file_name(CONFIG);
        if !config.is_file() {
            continue;
        }
        let layout = layout(input)?;
        if !is_adapter(&layout) {
            continue;
        }
        let config = read_short(&config, LONGEST)?;
        match Merge::check(&config, &layout) {
            Ok(()) => compress = compress.with_adapter(file, &config)?,
            Err(error) => warn(global, &format!("{}: not used as an adapter: {error}", words::input(&input.path))),
        }
    }
    Ok(compress)
}

/// The factors and the configuration of an adapter: those in a folder, or a file of factors and the
/// configuration beside it.
pub fn open(path: &Path) -> anyhow::Result<(Input, PathBuf, Vec<u8>)> {
    let factors = if path.is_dir() { path.join(FACTORS) } else { path.to_owned() };
    let config = factors.with_file_name(CONFIG);
    if path.is_dir() && !factors.is_file() {
        let message = format!("{}: this is no adapter of PEFT: it has no {FACTORS}", path.display());
        return Err(Fault::new(ErrorKind::Format, message).into());
    }
    let input = Input::watched(&factors)?;
    let bytes = read_short(&config, LONGEST)?;
    Ok((input, config, bytes))
}
