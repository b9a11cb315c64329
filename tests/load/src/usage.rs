//! What this process uses, as the system counts it.

use std::fs;
use std::io;

/// Threads, open files and resident memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub threads: usize,
    pub files: usize,
    pub resident_kib: usize,
}

impl Usage {
    /// Reads it from `/proc`, which is Linux's.
    pub fn now() -> io::Result<Usage> {
        let status = fs::read_to_string("/proc/self/status")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| io::Error::other(format!("no {name} in /proc/self/status")))
        };
        Ok(Usage {
            threads: number("Threads:")?,
            files: fs::read_dir("/proc/self/fd")?.count(),
            resident_kib: number("VmRSS:")?,
        })
    }

    /// One line: how much more this is than `before`, for each of so many streams.
    pub fn per_stream(self, before: Usage, streams: usize) -> String {
        // Counts of this size are exact in a float.
        let each = |now: usize, then: usize| now.saturating_sub(then) as f64 / streams as f64;
        format!(
            "{:.2} threads, {:.2} files, {:.1} KiB resident",
            each(self.threads, before.threads),
            each(self.files, before.files),
            each(self.resident_kib, before.resident_kib),
        )
    }
}
