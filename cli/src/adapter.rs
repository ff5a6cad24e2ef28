//! LoRA adapters of PEFT as files: the factors, and the configuration beside them.

use std::path::{Path, PathBuf};

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
pub const LONGEST: u64 = 16 << 20;

/// Tells a compression which of its base files are adapters. An adapter that cannot be merged is
/// named in a warning, and is a base file like any other.
pub fn give(mut compress: Compress, base: &[&Input], global: &Global) -> anyhow::Result<Compress> {
    for (file, input) in base.iter().enumerate() {
        if let Some(config) = config_of(input, global)? {
            compress = compress.with_adapter(file, &config)?;
        }
    }
    Ok(compress)
}

/// The configuration beside a file, if the file is an adapter that can be merged.
pub fn config_of(input: &Input, global: &Global) -> anyhow::Result<Option<Vec<u8>>> {
    let config = input.path.with_file_name(CONFIG);
    if !config.is_file() {
        return Ok(None);
    }
    let layout = layout(input)?;
    if !Merge::is_adapter(&layout) {
        return Ok(None);
    }
    let config = read_short(&config, LONGEST)?;
    if let Err(error) = Merge::check(&config, &layout) {
        warn(global, &format!("{}: not used as an adapter: {error}", words::input(&input.path)));
        return Ok(None);
    }
    Ok(Some(config))
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
