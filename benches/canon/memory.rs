//! Memory of a process, from /proc.

use crate::Result;

/// Resident memory of a process, in kilobytes of 1,024 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All of it, pages of the program's file included.
    pub(crate) resident: u64,
    /// What the process has allocated.
    pub(crate) anonymous: u64,
    /// The most that was resident since [`forget_peak`].
    pub(crate) peak: u64,
}

pub(crate) fn of(pid: u32) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such field")?;
        Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
    };
    Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")?, peak: field("VmHWM:")? })
}

/// Begins a new peak at what is resident now.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

// Sizes of memory are far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn mb(kilobytes: u64) -> f64 {
    kilobytes as f64 * 1024.0 / 1e6
}
