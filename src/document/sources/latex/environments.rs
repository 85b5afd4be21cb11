//! Environments: the begin and the end of each, and what stands in it.

use super::kinds::{Kind, ends_paragraph, kind};
use super::reader::Reader;
use super::token::{Token, tokens, trimmed, written};
use crate::document::sources::inline::Inline;
use crate::document::{BlockKind, Part};

/// A command that nobody can write: the end of an environment of the paper's own.
pub const CLOSE: &str = "close environment";

/// The most environments that are open inside each other.
const MOST_OPEN: usize = 500;

/// An open environment.
pub struct Frame {
    pub name: String,
    pub kind: Kind,
    /// Of one of the paper's own, what stands for its end.
    end: Vec<Token>,
    /// The paragraph around a float, and what is to follow it.
    saved: Option<(Inline, Vec<(BlockKind, Inline)>)>,
    /// Of a list: what the next paragraph starts with.
    pub marker: Option<Inline>,
    /// Of a numbered list: how the paper asks for its numbers.
    pub label: Option<Vec<Token>>,
    /// Of a float: its caption was printed. Of a bibliography: an entry is open.
    pub open: bool,
    /// Lines of an algorithm, and how far the next is set in.
    pub lines: Vec<String>,
    pub indent: usize,
}

impl Frame {
    fn new(name: &str, kind: Kind) -> Frame {
        Frame {
            name: name.to_string(),
            kind,
            end: Vec::new(),
            saved: None,
            marker: None,
            label: None,
            open: false,
            lines: Vec::new(),
            indent: 0,
        }
    }

    /// Whether an empty line ends nothing in it.
    pub fn keeps_paragraphs(&self) -> bool {
        matches!(self.kind, Kind::Bibliography | Kind::Steps | Kind::Algorithm)
    }
}

impl Reader<'_> {
    pub(super) fn begin(&mut self) {
        let name = self.gullet.name();
        if self.frames.len() >= MOST_OPEN {
            return self.gullet.warn("its environments are nested beyond all measure: some are left out".into());
        }
        if let Some(own) = self.gullet.environments.get(&name).cloned() {
            self.gullet.begin_group();
            self.frames.push(Frame { end: own.end.clone(), ..Frame::new(&name, Kind::Own) });
            return self.gullet.begin_environment(&own);
        }
        let theorem = self.theorems.contains_key(&name);
        let kind = if theorem { Some(Kind::Theorem) } else { kind(&name) };
        match kind {
            Some(Kind::Document) => {
                self.in_preamble = false;
                self.text = Inline::default();
                self.after.clear();
                self.choose_class();
            }
            Some(Kind::Verbatim) => self.listing(&name),
            Some(Kind::Comment) => drop(self.gullet.mouth.raw_until(&format!("\\end{{{name}}}"))),
            Some(Kind::Drawing) => {
                self.environment_tokens(&name);
                self.draft.drop(&format!("a drawing ({name})"));
            }
            Some(Kind::Display { rows, numbered }) => self.display(&name, rows, numbered),
            Some(Kind::InlineMath) => {
                let math = self.environment_tokens(&name);
                self.put(&format!("${}$", written(trimmed(&math))));
            }
            Some(Kind::Table(arguments)) => self.table(&name, arguments),
            Some(kind) => self.open_frame(&name, kind),
            None if self.is_common_theorem(&name) => self.open_frame(&name, Kind::Theorem),
            None => {
                self.gullet.optional();
                self.open_frame(&name, Kind::Plain(""));
            }
        }
    }

    fn open_frame(&mut self, name: &str, kind: Kind) {
        self.gullet.begin_group();
        let mut frame = Frame::new(name, kind);
        match kind {
            Kind::Figure | Kind::TableFloat | Kind::Algorithm => {
                let text = std::mem::take(&mut self.text);
                frame.saved = Some((text, std::mem::take(&mut self.after)));
                self.gullet.optional();
                if name.starts_with("wrap") || name.starts_with("sub") {
                    self.gullet.argument();
                    self.gullet.optional();
                    if name.starts_with("wrap") {
                        self.gullet.argument();
                    }
                }
                if name.trim_end_matches('*') == "algorithm" || name == "algorithm2e" {
                    self.counters.set("algorithm line", 0);
                }
            }
            Kind::Items | Kind::Numbered | Kind::Described => {
                self.paragraph();
                let options = self.gullet.optional();
                if name == "list" {
                    self.gullet.argument();
                    self.gullet.argument();
                }
                if kind == Kind::Numbered {
                    let counter = self.list_counter(1);
                    self.counters.set(counter, 0);
                    frame.label = options.and_then(|options| label_of(&options, counter));
                }
            }
            Kind::Steps => {
                self.paragraph();
                self.gullet.optional();
            }
            Kind::Bibliography => {
                self.paragraph();
                self.gullet.argument();
                self.print_references_heading();
            }
            Kind::Abstract => {
                self.paragraph();
                self.gullet.optional();
                self.print_front();
                let heading = self.plain(tokens("\\abstractname"));
                self.draft.heading(1, None, Inline::of(&heading));
            }
            Kind::Keywords => {
                self.paragraph();
                self.put("Keywords: ");
            }
            Kind::Appendices => self.begin_appendix(),
            Kind::Proof => {
                self.paragraph();
                let words = self.gullet.optional().unwrap_or_else(|| tokens("\\proofname"));
                let words = self.inline(words);
                self.text.append(&words);
                self.put(". ");
            }
            Kind::Theorem => self.theorem(name),
            Kind::Subequations => self.begin_subequations(),
            Kind::Plain(arguments) => {
                for argument in arguments.chars() {
                    match argument {
                        'o' => drop(self.gullet.optional()),
                        _ => drop(self.gullet.argument()),
                    }
                }
                let known = super::kinds::kind(name).is_some();
                if known && ends_paragraph(name) {
                    self.paragraph();
                }
                if name.starts_with("ack") {
                    self.draft.heading(1, None, Inline::of("Acknowledgments"));
                }
            }
            _ => {}
        }
        self.frames.push(frame);
    }

    pub(super) fn end(&mut self) {
        let name = self.gullet.name();
        if name == "document" && self.depth == 0 {
            self.ended = true;
            return;
        }
        let Some(at) = self.frames.iter().rposition(|frame| frame.name == name) else { return };
        if self.frames[at].kind == Kind::Own {
            let mut end = self.frames[at].end.clone();
            end.push(Token::command(CLOSE));
            self.gullet.mouth.push(end);
            return;
        }
        while self.frames.len() > at {
            self.close();
        }
    }

    /// After what stands for the end of an environment of the paper's own.
    pub(super) fn close_frame(&mut self) {
        if let Some(at) = self.frames.iter().rposition(|frame| frame.kind == Kind::Own) {
            while self.frames.len() > at {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let Some(kind) = self.frames.last().map(|frame| frame.kind) else { return };
        match kind {
            Kind::Own => {}
            Kind::Plain(_) if self.frames.last().is_some_and(|frame| !ends_paragraph(&frame.name)) => {}
            Kind::Bibliography => self.end_entry(),
            _ => self.paragraph(),
        }
        let Some(frame) = self.frames.pop() else { return };
        self.gullet.end_group();
        if !frame.lines.is_empty() {
            self.block(BlockKind::Code, &frame.lines.join("\n"));
        }
        if let Some((text, after)) = frame.saved {
            self.text = text;
            self.after.extend(after);
        }
        match frame.kind {
            Kind::Bibliography if self.draft.part() == Part::References => self.draft.set_part(Part::Appendix),
            Kind::Subequations => self.subequation = None,
            _ => {}
        }
    }

    /// A paragraph is what the environment around it makes of it.
    pub(super) fn finish_paragraph(&mut self, text: Inline) {
        for frame in self.frames.iter_mut().rev() {
            match frame.kind {
                Kind::Items | Kind::Numbered | Kind::Described => {
                    let Some(mut item) = frame.marker.take() else { break };
                    item.push(' ');
                    item.append(&text);
                    return self.draft.push(BlockKind::ListItem, item);
                }
                Kind::Steps | Kind::Algorithm => {
                    let (text, _) = text.finish();
                    frame.lines.push(format!("{}{text}", "  ".repeat(frame.indent.min(20))));
                    return;
                }
                Kind::Figure => return self.draft.push(BlockKind::Figure, text),
                Kind::TableFloat => return self.draft.push(BlockKind::Footnote, text),
                _ => {}
            }
        }
        self.draft.push(BlockKind::Paragraph, text);
    }

    pub(super) fn item(&mut self) {
        let is_list = |frame: &Frame| matches!(frame.kind, Kind::Items | Kind::Numbered | Kind::Described);
        let given = self.gullet.optional();
        let Some(at) = self.frames.iter().rposition(is_list) else {
            return self.put(" • ");
        };
        self.paragraph();
        let marker = match (given, self.frames[at].kind) {
            (Some(given), Kind::Described | Kind::Items) => self.inline(given),
            (Some(given), _) => self.inline(given),
            (None, Kind::Numbered) => {
                let counter = self.list_counter(0);
                self.step(counter, "");
                let label = self.frames[at].label.clone();
                let label = label.unwrap_or_else(|| tokens(&format!("\\label{counter}")));
                self.inline(label)
            }
            _ => Inline::of("•"),
        };
        self.frames[at].marker = Some(marker);
    }

    /// The counter of the innermost numbered list, or of one `more` inside it.
    fn list_counter(&self, more: usize) -> &'static str {
        let open = self.frames.iter().filter(|frame| frame.kind == Kind::Numbered).count();
        ["enumi", "enumii", "enumiii", "enumiv"][(open + more).saturating_sub(1).min(3)]
    }

    /// What stands up to the end of the environment that was just begun, macros expanded.
    pub(super) fn environment_tokens(&mut self, name: &str) -> Vec<Token> {
        let (mut result, mut depth) = (Vec::new(), 0);
        while let Some(token) = self.gullet.next() {
            let begins = token.is("begin");
            if !begins && !token.is("end") {
                result.push(token);
                continue;
            }
            let argument = self.gullet.argument();
            let inner = written(&argument);
            if inner == "document" {
                self.gullet.mouth.push([vec![token, Token::Open], argument, vec![Token::Close]].concat());
                break;
            }
            match self.gullet.environments.get(&inner).cloned() {
                Some(own) if begins => self.gullet.begin_environment(&own),
                Some(own) => drop(self.gullet.mouth.push(own.end)),
                None => {
                    if inner == name && !begins && depth == 0 {
                        break;
                    }
                    depth += if inner != name {
                        0
                    } else if begins {
                        1
                    } else {
                        -1
                    };
                    result.extend([token, Token::Open]);
                    result.extend(argument);
                    result.push(Token::Close);
                }
            }
        }
        result
    }
}

/// The label that the options of a list ask for: `label=(\roman*)`, or `(i)`.
fn label_of(options: &[Token], counter: &str) -> Option<Vec<Token>> {
    let text = written(options);
    let of = |way: &str| tokens(&format!("\\{way}{{{counter}}}"));
    if let Some(at) = text.find("label=") {
        let value = &text[at + "label=".len()..];
        let label = tokens(value);
        let end = match label.first() {
            Some(Token::Open) => label.iter().position(|token| *token == Token::Close),
            _ => label.iter().position(|token| *token == Token::Char(',')),
        };
        let mut result = Vec::new();
        let mut rest = label[..end.unwrap_or(label.len())].iter().filter(|token| **token != Token::Open).peekable();
        while let Some(token) = rest.next() {
            match token {
                Token::Command(way) if rest.peek() == Some(&&Token::Char('*')) => {
                    rest.next();
                    result.extend(of(way));
                }
                token => result.push(token.clone()),
            }
        }
        return Some(result);
    }
    if text.contains('=') || text.len() > 12 {
        return None;
    }
    let at = options.iter().position(|token| matches!(token, Token::Char('1' | 'a' | 'A' | 'i' | 'I')))?;
    let way = match options[at] {
        Token::Char('a') => "alph",
        Token::Char('A') => "Alph",
        Token::Char('i') => "roman",
        Token::Char('I') => "Roman",
        _ => "arabic",
    };
    Some([&options[..at], &of(way), &options[at + 1..]].concat())
}
