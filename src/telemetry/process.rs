//! What the kernel knows about this process (Linux; elsewhere nothing is reported).

use std::fs;

/// Clock ticks per second in `/proc`: Linux has told user space 100 on every architecture since 2.6.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in bytes.
pub(super) fn resident_memory() -> Option<u64> {
    parse_resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Open file descriptors.
pub(super) fn open_fds() -> Option<u64> {
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// CPU time used, in seconds, all threads together.
pub(super) fn cpu_seconds() -> Option<f64> {
    parse_cpu(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Fields 14 and 15 of proc_pid_stat(5), counted from behind the command's closing parenthesis.
fn parse_cpu(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::{parse_cpu, parse_resident};

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t   20480 kB\nThreads:\t3\n"), Some(20_971_520));
        assert_eq!(parse_resident("Name:\tx\n"), None);
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 900 0 0 0 250 50 0 0 20 0 3 0 100 1000 5 18446744073709551615";
        assert_eq!(parse_cpu(stat), Some(3.0));
        assert_eq!(parse_cpu("42 (x) S 1"), None);
    }
}
