//! Manifests: the files of a model, and the pieces of a file.

mod file;
mod model;
mod name;
mod places;
mod squeezed;

pub use file::{FileManifest, Item, PieceRef};
pub(crate) use file::{read_dtype, write_dtype};
pub use model::{FileEntry, Model};
pub(crate) use name::check_paths;
pub use name::{ModelName, check_path};
pub(crate) use places::Place;

/// The version of the store's layout and of manifests.
pub(crate) const VERSION: u32 = 1;
