//! What a running process costs, read from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

/// The processor time that process `pid` has used so far, user and system together, over all its
/// threads. The kernel counts in clock ticks, usually 10 ms: measure over seconds.
///
/// # Errors
///
/// `NotFound` when there is no such process, `InvalidData` when `/proc` is not as Linux writes it.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&stat).ok_or_else(|| unreadable(pid, "stat"))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_millis(ticks.saturating_mul(1000) / per_second))
}

/// The memory of process `pid` that is in RAM now, in bytes.
///
/// # Errors
///
/// `NotFound` when there is no such process, `InvalidData` when it has ended and was not yet
/// reaped, or `/proc` is not as Linux writes it.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most memory that process `pid` ever had in RAM, in bytes: since it began, or since
/// [`count_peak_anew`].
///
/// # Errors
///
/// As [`resident_bytes`].
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Has [`peak_resident_bytes`] of process `pid` begin with what it has in RAM now.
///
/// # Errors
///
/// `NotFound` when there is no such process, and whatever else the system says.
pub fn count_peak_anew(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

fn status_bytes(pid: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    bytes_in(&status, field).ok_or_else(|| unreadable(pid, "status"))
}

/// User and system ticks are fields 14 and 15. The second field, the program's name in brackets,
/// may itself hold blanks and brackets, so counting starts behind the last bracket, at field 3.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn bytes_in(status: &str, field: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn unreadable(pid: u32, file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot understand /proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_hostile_program_name() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 900 0 3 0 41 17 0 0 20 0 4 0 99 0 0";
        assert_eq!(cpu_ticks(stat), Some(41 + 17));
        assert_eq!(cpu_ticks("12 (short) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        let status = "VmHWM:\t  9 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(bytes_in(status, "VmRSS:"), Some(2 << 20));
        assert_eq!(bytes_in(status, "VmHWM:"), Some(9 << 10));
        assert_eq!(bytes_in("State:\tZ (zombie)\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_a_cost() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        count_peak_anew(pid).unwrap();
        assert!(peak_resident_bytes(pid).unwrap() > 100_000);
        let before = cpu_time(pid).unwrap();
        // Burns until the counter has moved: the condition is the measure itself.
        while cpu_time(pid).unwrap() == before {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_process_that_does_not_exist_is_not_found() {
        // The kernel's highest possible process id is 2^22.
        assert_eq!(cpu_time(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
