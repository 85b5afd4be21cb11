//! Headings, captions, theorems, and the references between them.

use super::counters;
use super::kinds::Kind;
use super::reader::Reader;
use super::token::{Token, tokens, written};
use crate::document::sources::inline::Inline;
use crate::document::{BlockKind, Part};
use std::rc::Rc;

/// What a label names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchor {
    /// As it is printed: `3.2`.
    pub number: String,
    /// What it is, as it is printed: `Figure`, `Section`.
    pub name: String,
    /// Of a section, its heading.
    pub title: String,
}

/// An environment of numbered statements.
#[derive(Debug, Clone)]
pub struct Theorem {
    pub words: Vec<Token>,
    /// None for those that are not numbered.
    pub counter: Option<String>,
}

/// Statements that classes define themselves.
const COMMON: [&str; 16] = [
    "theorem",
    "lemma",
    "proposition",
    "corollary",
    "definition",
    "remark",
    "example",
    "conjecture",
    "claim",
    "note",
    "case",
    "exercise",
    "problem",
    "question",
    "property",
    "assumption",
];

impl Reader<'_> {
    /// Steps a counter; labels from now on name it.
    pub(super) fn step(&mut self, counter: &str, name: &str) -> String {
        self.counters.step(counter);
        let number = self.plain(counters::the(counter));
        self.anchor = Anchor { number: number.clone(), name: name.to_string(), title: String::new() };
        number
    }

    pub(super) fn number_within(&mut self, inner: &str, outer: &str) {
        self.counters.within(inner, Some(outer));
        let definition = super::macros::constant(&format!("\\the{outer}.\\arabic{{{inner}}}"));
        self.gullet.define_globally(&Rc::from(format!("the{inner}")), definition);
    }

    /// What the document's class changes about numbers.
    pub(super) fn choose_class(&mut self) {
        let class = self.gullet.options.iter().find(|(name, _)| name == "class").map(|(_, class)| class.clone());
        let class = class.unwrap_or_default();
        let mut define = |name: &str, text: &str| {
            self.gullet.define_globally(&Rc::from(name), super::macros::constant(text));
        };
        match class.as_str() {
            "IEEEtran" | "IEEEconf" | "ieeeconf" => {
                define("thesection", "\\Roman{section}");
                define("thesubsection", "\\thesection-\\Alph{subsection}");
                define("printedsubsection", "\\Alph{subsection}");
                define("thetable", "\\Roman{table}");
            }
            "revtex4" | "revtex4-1" | "revtex4-2" => {
                define("thesection", "\\Roman{section}");
                define("thesubsection", "\\Alph{subsection}");
                define("thesubsubsection", "\\arabic{subsubsection}");
            }
            "book" | "report" | "memoir" | "scrbook" | "scrreprt" => {
                for inner in ["section", "figure", "table", "equation"] {
                    self.number_within(inner, "chapter");
                }
            }
            _ => {}
        }
    }

    pub(super) fn section_command(&mut self, name: &str) -> bool {
        match name {
            "part" | "chapter" | "section" | "subsection" | "subsubsection" => self.section(name),
            "paragraph" | "subparagraph" => {
                self.gullet.star();
                self.gullet.optional();
                self.paragraph();
                let words = self.inline_argument();
                self.text.append(&words);
                self.put(" ");
            }
            "appendix" => self.begin_appendix(),
            "label" => {
                let key = self.gullet.name();
                self.aux.anchors.entry(key).or_insert_with(|| self.anchor.clone());
            }
            "ref" | "subref" | "eqref" | "autoref" | "cref" | "Cref" | "vref" | "nameref" | "pageref" => {
                self.gullet.star();
                let keys = self.gullet.name();
                let text = self.reference_text(name, &keys);
                self.put(&text);
            }
            "caption" | "subcaption" | "captionof" => {
                let float = (name == "captionof").then(|| self.gullet.name());
                let starred = self.gullet.star();
                self.gullet.optional();
                let words = self.gullet.argument();
                let numbered = if starred { None } else { Some(float) };
                self.caption(words, numbered, name == "subcaption");
            }
            "subfloat" | "subfigure" | "subtable" => {
                let words = self.gullet.optional();
                let second = self.gullet.optional();
                if let Some(words) = second.or(words) {
                    self.caption(words, Some(None), true);
                }
            }
            "newtheorem" => self.new_theorem(),
            _ => return false,
        }
        true
    }

    fn section(&mut self, name: &str) {
        let starred = self.gullet.star();
        self.gullet.optional();
        let words = self.gullet.argument();
        self.paragraph();
        self.print_front();
        let chapters = self.counters.value("chapter") > 0 || name == "chapter" || name == "part";
        let depth = ["chapter", "section", "subsection", "subsubsection"].iter().position(|each| *each == name);
        let level = depth.unwrap_or(0) + usize::from(chapters);
        let number = (!starred).then(|| {
            let word = if self.draft.part() == Part::Appendix { "Appendix" } else { "Section" };
            let number = self.step(name, word);
            let printed: Rc<str> = format!("printed{name}").into();
            match self.gullet.meaning(&printed) {
                Some(_) => self.plain(vec![Token::Command(printed)]),
                None => number,
            }
        });
        // A label inside of it names it.
        let words = self.inline(words);
        self.anchor.title = words.as_str().trim().to_string();
        self.draft.heading(level.clamp(1, 6) as u8, number.filter(|number| !number.is_empty()), words);
    }

    pub(super) fn begin_appendix(&mut self) {
        self.paragraph();
        let top = if self.counters.value("chapter") > 0 { "chapter" } else { "section" };
        self.counters.set(top, 0);
        self.counters.set("subsection", 0);
        let definition = super::macros::constant(&format!("\\Alph{{{top}}}"));
        self.gullet.define_globally(&Rc::from(format!("the{top}")), definition);
        self.draft.set_part(Part::Appendix);
    }

    fn reference_text(&mut self, command: &str, keys: &str) -> String {
        let known = self.known;
        let texts = keys.split(',').map(|key| {
            let Some(anchor) = known.anchors.get(key.trim()) else { return "??".to_string() };
            let Anchor { number, name, title } = anchor;
            match command {
                "eqref" => format!("({number})"),
                "nameref" => title.clone(),
                // Pages are the printer's matter.
                "pageref" => "??".to_string(),
                "autoref" | "cref" | "Cref" if !name.is_empty() => {
                    let number = if name == "Equation" { format!("({number})") } else { number.clone() };
                    format!("{name} {number}")
                }
                _ => number.clone(),
            }
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    /// A caption; `numbered` holds the kind of float where the command names one.
    fn caption(&mut self, words: Vec<Token>, numbered: Option<Option<String>>, is_sub: bool) {
        let is_float = |kind: Kind| matches!(kind, Kind::Figure | Kind::TableFloat | Kind::Algorithm);
        let at = self.frames.iter().rposition(|frame| is_float(frame.kind));
        let frame = at.map(|at| &self.frames[at]);
        let named = frame.map_or(String::new(), |frame| frame.name.trim_end_matches('*').to_string());
        let is_sub = is_sub || named.starts_with("sub");
        let float = match (numbered.clone().flatten(), frame.map(|frame| frame.kind)) {
            (Some(float), _) => float,
            (None, Some(Kind::TableFloat)) => "table".into(),
            (None, Some(Kind::Algorithm)) if named != "figure" => "algorithm".into(),
            // Outside of any float, only tables that break over pages have captions.
            (None, None) if self.depth > 0 => "table".into(),
            _ => "figure".to_string(),
        };
        let label = match numbered {
            None => String::new(),
            Some(_) if is_sub => {
                let open = frame.is_some_and(|frame| frame.open);
                self.counters.step("subfigure");
                let letter = self.plain(counters::the("subfigure"));
                let outer = self.counters.value(&float) + i64::from(!open);
                let name = self.float_name(&float);
                self.anchor = Anchor { number: format!("{outer}{letter}"), name, title: String::new() };
                format!("({letter}) ")
            }
            Some(_) => {
                let name = self.float_name(&float);
                let number = self.step(&float, &name);
                self.counters.set("subfigure", 0);
                if let Some(at) = at {
                    self.frames[at].open = true;
                }
                format!("{name} {number}: ")
            }
        };
        let mut text = Inline::of(&label);
        let words = self.inline(words);
        text.append(&words);
        if !words.is_empty() {
            self.aside(BlockKind::Caption, text);
        }
    }

    fn float_name(&mut self, float: &str) -> String {
        let command = match float {
            "figure" | "table" | "algorithm" => format!("{float}name"),
            "lstlisting" | "listing" => "lstlistingname".into(),
            _ => return capitalised(float),
        };
        self.plain(vec![Token::command(&command)])
    }

    /// `\newtheorem{name}[counter]{Words}[within]`
    fn new_theorem(&mut self) {
        let starred = self.gullet.star();
        let name = self.gullet.name();
        let shared = self.gullet.optional().map(|shared| written(&shared));
        let words = self.gullet.argument();
        let within = self.gullet.optional().map(|within| written(&within));
        let counter = match (starred, shared) {
            (true, _) => None,
            // Shared with another kind of statement, or with any counter.
            (false, Some(shared)) => match self.theorems.get(&shared) {
                Some(other) => other.counter.clone(),
                None => Some(shared),
            },
            (false, None) => Some(self.own_counter(&name, within.as_deref())),
        };
        self.theorems.insert(name, Theorem { words, counter });
    }

    fn own_counter(&mut self, name: &str, within: Option<&str>) -> String {
        // Apart from counters that bear the same name for another reason.
        let counter = if self.counters.is_known(name) { format!("statement{name}") } else { name.to_string() };
        self.counters.within(&counter, within);
        let number = match within {
            Some(outer) => format!("\\the{outer}.\\arabic{{{counter}}}"),
            None => format!("\\arabic{{{counter}}}"),
        };
        self.gullet.define_globally(&Rc::from(format!("the{counter}")), super::macros::constant(&number));
        counter
    }

    pub(super) fn is_common_theorem(&self, name: &str) -> bool {
        COMMON.contains(&name)
    }

    /// The begin of a numbered statement.
    pub(super) fn theorem(&mut self, name: &str) {
        self.paragraph();
        if !self.theorems.contains_key(name) {
            let counter = Some(self.own_counter(name, None));
            self.theorems.insert(name.to_string(), Theorem { words: tokens(&capitalised(name)), counter });
        }
        let Some(Theorem { words, counter }) = self.theorems.get(name).cloned() else { return };
        let words = self.plain(words);
        let number = counter.map(|counter| self.step(&counter, &words));
        let note = self.gullet.optional();
        self.put(&words);
        if let Some(number) = number {
            self.put(&format!(" {number}"));
        }
        if let Some(note) = note {
            let note = self.inline(note);
            self.put(" (");
            self.text.append(&note);
            self.put(")");
        }
        self.put(". ");
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
