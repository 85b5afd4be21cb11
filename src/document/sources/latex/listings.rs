//! Code and algorithms, line by line.

use super::kinds::Kind;
use super::reader::Reader;
use super::token::{Token, tokens, written};
use crate::document::BlockKind;
use crate::document::sources::inline::Inline;

/// A command that nobody can write: the end of a block of an algorithm.
const END_BLOCK: &str = "end block";

impl Reader<'_> {
    /// After the begin of an environment whose lines are kept as they stand.
    pub(super) fn listing(&mut self, name: &str) {
        let end = format!("\\end{{{name}}}");
        // Options stand on the line of the begin.
        let options = match name {
            "verbatim" | "verbatim*" | "code" => None,
            _ => self.gullet.optional().map(|options| written(&options)),
        };
        if name.starts_with("minted") {
            self.gullet.argument();
        }
        let raw = self.gullet.mouth.raw_until(&end);
        let lines = raw.strip_prefix('\n').unwrap_or(&raw);
        self.block(BlockKind::Code, without_indent(lines).trim_end());
        if let Some(words) = options.as_deref().and_then(caption_of) {
            let number = self.step("lstlisting", "Listing");
            let words = self.inline(tokens(&words));
            let mut text = Inline::of(&format!("Listing {number}: "));
            text.append(&words);
            self.aside(BlockKind::Caption, text);
        }
    }

    pub(super) fn inline_code(&mut self, minted: bool) {
        self.gullet.optional();
        if minted {
            self.gullet.argument();
        }
        let text = match self.gullet.mouth.peek() {
            Some(Token::Open) => self.gullet.mouth.raw_argument(),
            _ => match self.gullet.mouth.raw_char() {
                Some(delimiter) => self.gullet.mouth.raw_until(&delimiter.to_string()),
                None => String::new(),
            },
        };
        self.put(&text);
    }

    /// A listing in a file of its own.
    pub(super) fn included_listing(&mut self, minted: bool) {
        self.gullet.optional();
        if minted {
            self.gullet.argument();
        }
        let file = self.gullet.name();
        match self.gullet.project.text(&file) {
            Some(text) => self.block(BlockKind::Code, text.trim_end()),
            None => self.gullet.warn(format!("{file}: a listing that is not among the sources")),
        }
    }

    fn in_algorithm(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame.kind, Kind::Steps | Kind::Algorithm))
    }

    /// Commands of algorithmic, algorithmicx and algorithm2e.
    pub(super) fn algorithm_command(&mut self, name: &str) -> bool {
        if self.depth > 0 || !self.in_algorithm() {
            return false;
        }
        if name == END_BLOCK {
            self.paragraph();
            self.indent(-1);
            return true;
        }
        if name == ";" {
            self.paragraph();
            return true;
        }
        match name.to_lowercase().as_str() {
            "state" | "statex" => self.paragraph(),
            "require" | "kwin" | "kwdata" | "input" => self.line("Require: "),
            "ensure" | "kwout" | "kwresult" | "output" => self.line("Ensure: "),
            "return" | "kwret" => self.line("return "),
            "print" => self.line("print "),
            "if" | "eif" | "uif" => self.opening("if ", " then", name == "eIf"),
            "elsif" | "elseif" | "uelseif" => {
                self.outdent(name);
                self.opening("else if ", " then", false);
            }
            "else" | "uelse" => {
                self.outdent(name);
                self.line("else");
                self.block_of_2e();
            }
            "for" => self.opening("for ", " do", false),
            "forall" | "foreach" => self.opening("for all ", " do", false),
            "while" => self.opening("while ", " do", false),
            "loop" => self.line_then_indent("loop"),
            "repeat" => self.line_then_indent("repeat"),
            "until" => {
                self.paragraph();
                self.indent(-1);
                self.put("until ");
            }
            "procedure" | "function" => {
                self.paragraph();
                let (title, arguments) = (self.inline_argument(), self.inline_argument());
                self.put(&format!("{} ", name.to_lowercase()));
                self.text.append(&title);
                self.put("(");
                self.text.append(&arguments);
                self.put(")");
                self.paragraph();
                self.indent(1);
            }
            "call" => {
                let (title, arguments) = (self.inline_argument(), self.inline_argument());
                self.text.append(&title);
                self.put("(");
                self.text.append(&arguments);
                self.put(")");
            }
            "comment" | "tcp" | "tcc" | "tcpx" | "tccx" | "kwcomment" => {
                self.gullet.star();
                let text = self.inline_argument();
                self.put(" ▷ ");
                self.text.append(&text);
            }
            "endif" | "endfor" | "endwhile" | "endloop" | "endprocedure" | "endfunction" => {
                self.paragraph();
                self.indent(-1);
                self.put(&format!("end {}", &name.to_lowercase()[3..]));
                self.paragraph();
            }
            _ => return false,
        }
        true
    }

    fn line(&mut self, words: &str) {
        self.paragraph();
        self.put(words);
    }

    fn line_then_indent(&mut self, words: &str) {
        self.line(words);
        self.paragraph();
        self.indent(1);
    }

    /// `\Else` of algorithmicx ends the block before it; that of algorithm2e ended with its brace.
    fn outdent(&mut self, name: &str) {
        self.paragraph();
        let braced = self.gullet.mouth.peek() == Some(Token::Open) && name.to_lowercase().ends_with("else");
        let open = self.frames.last().is_some_and(|frame| frame.indent > 0);
        if open && !braced && self.frames.last().is_some_and(|frame| frame.kind == Kind::Steps) {
            self.indent(-1);
        }
    }

    /// A line that opens a block. Of algorithm2e the block follows as an argument, and with `two` one more for else.
    fn opening(&mut self, before: &str, after: &str, two: bool) {
        self.paragraph();
        self.gullet.optional();
        let condition = self.inline_argument();
        self.put(before);
        self.text.append(&condition);
        self.put(after);
        if two && self.gullet.mouth.peek() == Some(Token::Open) {
            let (yes, no) = (self.gullet.argument(), self.gullet.argument());
            let parts = [
                vec![Token::Open],
                yes,
                vec![Token::Close, Token::command("Else"), Token::Open],
                no,
                vec![Token::Close],
            ];
            self.gullet.mouth.push(parts.concat());
        }
        self.block_of_2e();
    }

    fn block_of_2e(&mut self) {
        self.paragraph();
        self.indent(1);
        if self.gullet.mouth.peek() == Some(Token::Open) {
            let mut block = self.gullet.argument();
            block.push(Token::command(END_BLOCK));
            self.gullet.mouth.push(block);
        }
    }

    fn indent(&mut self, by: isize) {
        if let Some(frame) =
            self.frames.iter_mut().rev().find(|frame| matches!(frame.kind, Kind::Steps | Kind::Algorithm))
        {
            frame.indent = frame.indent.saturating_add_signed(by);
        }
    }
}

/// Lines without the white space that all of them start with.
fn without_indent(lines: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let least = lines.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    lines.lines().map(|line| line.get(least..).unwrap_or_default().trim_end()).collect::<Vec<_>>().join("\n")
}

/// The value of `caption=` among options.
fn caption_of(options: &str) -> Option<String> {
    let value = &options[options.find("caption=")? + "caption=".len()..];
    let Some(braced) = value.strip_prefix('{') else {
        return Some(value.split(',').next().unwrap_or_default().to_string());
    };
    let mut depth = 0;
    let end = braced.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth < 0
    });
    Some(braced[..end.unwrap_or(braced.len())].to_string())
}
