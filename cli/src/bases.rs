//! The order of a base's files: that in which the archive names them.

use bitx::io::ReadAt;
use bitx::report::BaseReport;

use crate::files::Input;
use crate::words;

/// Puts the files of a base in the [order](bitx_host::order) of `needed`.
pub fn in_order(files: Vec<Input>, needed: &[BaseReport]) -> anyhow::Result<Vec<Input>> {
    let all: Vec<&dyn ReadAt> = files.iter().map(|input| &input.file as &dyn ReadAt).collect();
    let order = bitx_host::order(&all, needed);
    let order = order.map_err(|(place, error)| anyhow::Error::new(error).context(words::input(&files[place].path)))?;
    let mut files: Vec<Option<Input>> = files.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|place| files[place].take()).collect())
}
