//! Tables: rows and cells.

use super::kinds::Kind;
use super::maths::split_rows;
use super::reader::Reader;
use super::token::{Token, trimmed};

/// A row has no more cells than this.
const MOST_COLUMNS: usize = 500;

impl Reader<'_> {
    /// After the begin of the environment `name`, whose columns follow `arguments`.
    pub(super) fn table(&mut self, name: &str, arguments: &str) {
        for argument in arguments.chars() {
            match argument {
                'o' => drop(self.gullet.optional()),
                _ => drop(self.gullet.argument()),
            }
        }
        self.gullet.argument();
        let content = self.environment_tokens(name);
        if self.depth == 0 && self.frames.iter().any(|frame| frame.kind == Kind::TableFloat) {
            self.paragraph();
        }
        let mut rows = Vec::new();
        for row in split_rows(&content) {
            let row = self.cells(after_row_options(row));
            if row.iter().any(|cell| !cell.is_empty()) {
                rows.push(row);
            }
        }
        if self.depth > 0 {
            let text = rows.iter().map(|row| row.join(" ").trim().to_string()).collect::<Vec<_>>().join(" ");
            return self.put(&text);
        }
        if self.in_preamble {
            return;
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        rows.iter_mut().for_each(|row| row.resize(width, String::new()));
        // One column is a way to set lines of text.
        if width == 1 && !self.frames.iter().any(|frame| frame.kind == Kind::TableFloat) {
            for row in rows {
                self.put(&row.concat());
                self.put(" ");
            }
            return;
        }
        self.paragraph();
        self.draft.table(rows);
        // Captions and notes inside of it.
        self.paragraph();
        for (kind, text) in std::mem::take(&mut self.after) {
            self.draft.push(kind, text);
        }
    }

    fn cells(&mut self, row: &[Token]) -> Vec<String> {
        let mut cells = Vec::new();
        let (mut depth, mut from) = (0_i64, 0);
        for (at, token) in row.iter().chain([&Token::Align]).enumerate() {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                token if token.is("begin") => depth += 1,
                token if token.is("end") => depth -= 1,
                _ => {}
            }
            if *token == Token::Align && (depth == 0 || at == row.len()) && cells.len() < MOST_COLUMNS {
                let cell = row.get(from..at).unwrap_or_default();
                self.columns = 1;
                let text = self.inline(cell.to_vec()).finish().0;
                cells.push(text);
                let more = std::mem::replace(&mut self.columns, 1) - 1;
                cells.extend(std::iter::repeat_n(String::new(), more.min(MOST_COLUMNS)));
                from = at + 1;
            }
        }
        cells
    }
}

/// A row without the `*` and `[2pt]` that belong to the end of the row before.
fn after_row_options(row: &[Token]) -> &[Token] {
    let row = match row {
        [Token::Char('*'), rest @ ..] => rest,
        row => row,
    };
    match row {
        [Token::Char('['), ..] => {
            let end = row.iter().position(|token| *token == Token::Char(']'));
            end.map_or(row, |end| &row[end + 1..])
        }
        row => trimmed(row),
    }
}
