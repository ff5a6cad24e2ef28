//! How models are made of files, and files of pieces.

mod file;
mod model;
mod name;

pub use file::{FileManifest, Item, PieceRef};
pub use model::{FileEntry, Model};
pub use name::{ModelName, check_path};

/// Version of the layout and of the manifests.
pub(crate) const VERSION: u32 = 1;
