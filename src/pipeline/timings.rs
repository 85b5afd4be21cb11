//! How long a summary took, when it was made, and how much memory the process has had.

use crate::generator::Usage;
use crate::report::Timings;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Adds up the generator's calls.
pub(super) struct Clock {
    started: Instant,
    timings: Timings,
    calls: usize,
}

impl Clock {
    /// The seconds are those that went by before.
    pub(super) fn start(load_seconds: f64, extract_seconds: f64) -> Clock {
        let timings = Timings { load_seconds, extract_seconds, ..Timings::default() };
        Clock { started: Instant::now(), timings, calls: 0 }
    }

    pub(super) fn add(&mut self, usage: &Usage) {
        let timings = &mut self.timings;
        if self.calls == 0 {
            timings.time_to_first_token_seconds = usage.time_to_first_token_seconds;
        }
        self.calls += 1;
        timings.prefill_tokens += usage.prefill_tokens;
        timings.prefill_seconds += usage.prefill_seconds;
        timings.decode_tokens += usage.decode_tokens;
        timings.decode_seconds += usage.decode_seconds;
    }

    pub(super) fn stop(self) -> Timings {
        let mut timings = self.timings;
        let elapsed = self.started.elapsed().as_secs_f64();
        timings.total_seconds = timings.load_seconds + timings.extract_seconds + elapsed;
        timings.prefill_tokens_per_second = rate(timings.prefill_tokens, timings.prefill_seconds);
        timings.decode_tokens_per_second = rate(timings.decode_tokens, timings.decode_seconds);
        timings.peak_memory_bytes = peak_memory();
        timings
    }
}

/// 0 where no time went by.
fn rate(tokens: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}

/// The most memory that the process has held, where Linux tells it.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// RFC 3339 in UTC, to the second.
pub fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs())
}

fn rfc3339(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month, day of a day counted from 1970-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_years_ends() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }

    #[test]
    fn calls_add_up_and_the_first_token_is_that_of_the_first_call() {
        let mut clock = Clock::start(1.0, 2.0);
        let usage = Usage {
            prompt_tokens: 10,
            prefill_tokens: 100,
            prefill_seconds: 2.0,
            time_to_first_token_seconds: 2.5,
            decode_tokens: 30,
            decode_seconds: 3.0,
        };
        clock.add(&usage);
        clock.add(&Usage { prefill_tokens: 20, time_to_first_token_seconds: 0.1, ..usage });
        let timings = clock.stop();
        assert_eq!((timings.prefill_tokens, timings.decode_tokens), (120, 60));
        assert_eq!(timings.time_to_first_token_seconds, 2.5);
        assert_eq!(timings.prefill_tokens_per_second, 30.0);
        assert_eq!(timings.decode_tokens_per_second, 10.0);
        assert!(timings.total_seconds >= 3.0);
    }

    #[test]
    fn nothing_done_is_no_infinite_rate() {
        assert_eq!(rate(0, 0.0), 0.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_the_peak() {
        assert!(peak_memory().is_some_and(|bytes| bytes > 100_000));
    }
}
