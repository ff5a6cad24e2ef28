//! Manifests: the files of a model, and the pieces of a file.

mod excerpts;
mod file;
mod model;
mod name;
mod places;
mod squeezed;

pub(crate) use excerpts::{Cursor, DEEPEST, MOST_SOURCES};
pub use file::{FileManifest, Item, PieceRef};
pub(crate) use file::{read_dtype, write_dtype};
pub use model::{FileEntry, Model};
pub(crate) use name::check_paths;
pub use name::{ModelName, check_path};
pub(crate) use places::Place;

/// The version of the store's layout and of manifests.
pub(crate) const VERSION: u32 = 1;
