//! Who writes: so that a collection on the same machine knows at once that a writer was killed.

use serde::{Deserialize, Serialize};

/// A process on some machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// What tells machines and their boots apart; empty where nothing does.
    machine: String,
    pid: u32,
    /// When it began, in ticks since the boot: numbers of processes are used again.
    began: u64,
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { machine: boot_id().unwrap_or_default(), pid, began: began(pid).unwrap_or_default() }
    }

    /// Whether it runs; `None` where that cannot be told.
    pub(crate) fn is_alive(&self) -> Option<bool> {
        if self.machine.is_empty() || boot_id()? != self.machine {
            return None;
        }
        Some(began(self.pid) == Some(self.began))
    }
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Containers share a boot and not their process numbers.
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", id.trim(), namespace.display()))
}

fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; the 22nd field is the 20th behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // A zombie has ended, though nobody has asked how.
    if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_living_and_the_dead_are_told_apart() {
        let this = Process::this();
        assert_eq!(this.is_alive(), Some(true));
        assert_eq!(Process { began: this.began + 1, ..this.clone() }.is_alive(), Some(false));
        assert_eq!(Process { machine: "another".into(), ..this }.is_alive(), None);
    }
}
