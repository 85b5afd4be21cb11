//! What a person sees on stderr while work goes on: bars for anything over a second, and single lines.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::Duration;

/// Cheap to clone; all clones draw on the same terminal area. Bars are hidden where stderr is no terminal.
#[derive(Clone)]
pub struct Progress {
    bars: MultiProgress,
    quiet: bool,
    verbose: bool,
}

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Tokens,
    Pages,
    Files,
    Answers,
}

impl Progress {
    /// `quiet` leaves only errors; `verbose` adds detail lines.
    pub fn new(quiet: bool, verbose: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Progress { bars: MultiProgress::with_draw_target(target), quiet, verbose }
    }

    /// For tests and library use: shows nothing.
    pub fn silent() -> Self {
        Progress::new(true, false)
    }

    /// A line for the user, unless `--quiet`.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.print(text.as_ref());
        }
    }

    /// A line for `--verbose` only.
    pub fn detail(&self, text: impl AsRef<str>) {
        if self.verbose {
            self.line(text);
        }
    }

    /// A line that `--quiet` does not silence.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.print(&format!("warning: {}", text.as_ref()));
    }

    /// A closed stderr is no reason to stop.
    fn print(&self, text: &str) {
        // Names from outside reach the terminal as text only.
        let text: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        self.bars.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
    }

    /// A bar that goes to `total`; dropped bars disappear.
    pub fn bar(&self, label: &str, total: u64, unit: Unit) -> Bar {
        let counts = match unit {
            Unit::Bytes => "{bytes}/{total_bytes} {bytes_per_sec}",
            Unit::Tokens => "{pos}/{len} tokens {per_sec}",
            Unit::Pages => "{pos}/{len} pages",
            Unit::Files => "{pos}/{len} files",
            Unit::Answers => "{pos}/{len} answers",
        };
        let style = ProgressStyle::with_template(&format!("{{msg}} [{{bar:30}}] {counts} {{eta}}"))
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = self.bars.add(ProgressBar::new(total).with_style(style).with_message(label.to_string()));
        bar.enable_steady_tick(Duration::from_millis(250));
        Bar(bar)
    }
}

pub struct Bar(ProgressBar);

impl Bar {
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Says something else in front of the bar.
    pub fn label(&self, label: &str) {
        self.0.set_message(label.to_string());
    }

    pub fn advance(&self, by: u64) {
        self.0.inc(by);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
