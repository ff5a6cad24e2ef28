//! A progress bar on standard error, shown if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Global;
use crate::caller::Caller;

/// The time between two drawings of a bar, so that it shows from the start and while a window takes
/// long.
const TICK: Duration = Duration::from_millis(200);

/// The progress of a job, on a bar and for a caller of this library.
pub struct Meter<'a> {
    bar: ProgressBar,
    caller: Option<&'a dyn Caller>,
    done: u64,
}

impl<'a> Meter<'a> {
    /// Begins a job over `total` bytes of the model.
    pub fn start(total: u64, global: &'a Global) -> Self {
        Self { bar: bar(total, global), caller: global.caller.as_deref(), done: 0 }
    }

    /// States the number of bytes that are done.
    pub fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if let Some(caller) = self.caller {
            caller.add_done(done.saturating_sub(self.done));
        }
        self.done = done;
    }

    /// Counts further bytes that are done.
    pub fn add(&mut self, bytes: u64) {
        self.set(self.done + bytes);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A progress bar over `total` bytes. It is hidden if standard error is not a terminal, or `global`
/// asks for quiet or JSON.
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
