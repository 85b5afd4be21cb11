//! What leaves the program: results on stdout, complaints on stderr.

use crate::{Error, Kind, Result};
use clap::builder::styling::{AnsiColor, Style};
use std::io::{ErrorKind, IsTerminal, Write};

/// Whether anybody still reads stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reader {
    Here,
    /// As after `| head`; no error, but no reason to go on either.
    Gone,
}

/// Writes `text` to stdout as it is.
pub fn print(text: &str) -> Result<Reader> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Here),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Error::new(Kind::Output, "stdout", error)),
    }
}

/// As [`print`], where it is the last thing to do.
pub fn finish(text: &str) -> Result<()> {
    print(text).map(|_| ())
}

/// `error: …` and `hint: …` on stderr, in colour on a terminal.
pub fn complain(error: &Error) {
    let stderr = std::io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let _ = stderr.lock().write_all(complaint(error, colour).as_bytes());
}

fn complaint(error: &Error, colour: bool) -> String {
    let (red, cyan) = match colour {
        true => (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default().bold()),
        false => (Style::new(), Style::new()),
    };
    let mut text = format!("{red}error:{red:#} {}: {}\n", printable(&error.subject), printable(&error.problem));
    if let Some(hint) = &error.hint {
        text.push_str(&format!("  {cyan}hint:{cyan:#} {}\n", printable(hint)));
    }
    text
}

/// One line without control characters: names of files and words of damaged files reach the terminal as text only.
pub fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As [`printable`], but with lines and the spaces around them as they are.
pub fn printable_lines(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Columns as wide as their widest cell, two spaces apart; the last one runs free.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Pretty JSON, ending in a line feed.
pub fn json<T: serde::Serialize + ?Sized>(subject: &str, value: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(Kind::Internal, subject, format!("cannot be written as JSON: {error}")))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_one_line_each_and_plain() {
        let error = Error::new(Kind::Input, "a\u{1b}[31m.pdf\n", "is not\na PDF").hint("try another");
        assert_eq!(complaint(&error, false), "error: a [31m.pdf: is not a PDF\n  hint: try another\n");
        assert!(complaint(&error, true).starts_with("\u{1b}["));
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["a".into(), "1".into()], vec!["long".into(), "2".into()]];
        assert_eq!(table(&rows), "a     1\nlong  2\n");
        assert_eq!(table(&[]), "");
    }
}
