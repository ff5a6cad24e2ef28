//! A progress bar on standard error, shown if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Global;

/// The time between two drawings of a bar, so that it shows from the start and while a window takes
/// long.
const TICK: Duration = Duration::from_millis(200);

/// A progress bar over `total` bytes of the model. It is hidden if standard error is not a
/// terminal, or `global` asks for quiet or JSON.
pub fn bar(total: u64, global: &Global) -> ProgressBar {
    let hidden = global.quiet || global.json;
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style =
        ProgressStyle::with_template("{bar:32} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !bar.is_hidden() {
        bar.tick();
        bar.enable_steady_tick(TICK);
    }
    bar
}
