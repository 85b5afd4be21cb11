//! Tokens without macros → blocks.

use super::bibliography::OpenEntry;
use super::citations::Label;
use super::counters::Counters;
use super::environments::Frame;
use super::front::Front;
use super::gullet::Gullet;
use super::project::Project;
use super::sections::{Anchor, Theorem};
use super::token::{Token, written};
use crate::document::sources::draft::Draft;
use crate::document::sources::inline::Inline;
use crate::document::{BlockKind, Document, Source};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Arguments inside arguments are read no deeper than this.
const DEEPEST: usize = 16;
/// The most text that is made of one paper, in bytes.
const MOST_TEXT: usize = 32 << 20;

/// What one run leaves for the next.
#[derive(Debug, Default)]
pub struct Aux {
    pub anchors: HashMap<String, Anchor>,
    pub labels: HashMap<String, Label>,
    /// How many of the labels name authors and years.
    pub named: usize,
    /// Keys in the order of their first citation.
    pub cited: Vec<String>,
    pub cited_keys: HashSet<String>,
    pub front: Front,
}

impl Aux {
    /// Whether what was known in a run is what it found.
    pub fn agrees_with(&self, known: &Aux) -> bool {
        self.anchors == known.anchors && self.labels == known.labels
    }
}

pub struct Reader<'a> {
    pub(super) gullet: Gullet<'a>,
    pub(super) draft: Draft,
    /// From the run before.
    pub(super) known: &'a Aux,
    pub(super) aux: Aux,
    pub(super) counters: Counters,
    /// The paragraph that is being put together.
    pub(super) text: Inline,
    /// What follows it: notes, captions inside of tables.
    pub(super) after: Vec<(BlockKind, Inline)>,
    /// Open environments.
    pub(super) frames: Vec<Frame>,
    /// How many arguments are open inside each other.
    pub(super) depth: usize,
    pub(super) in_preamble: bool,
    pub(super) ended: bool,
    /// The title and the authors were printed.
    pub(super) front_done: bool,
    /// An abstract that was given before the document began.
    pub(super) preamble_abstract: Option<Vec<Token>>,
    /// What `\label` names now.
    pub(super) anchor: Anchor,
    /// The number of the open group of equations, and how many it has.
    pub(super) subequation: Option<(String, i64)>,
    /// Theorems and their like by environment.
    pub(super) theorems: HashMap<String, Theorem>,
    /// Files of BibTeX's that the paper names, and its style.
    pub(super) bib_files: Vec<String>,
    pub(super) bib_style: String,
    /// The entry of the reference list that is being read, and how many there were.
    pub(super) open_entry: Option<OpenEntry>,
    pub(super) entries: usize,
    /// Columns of the cell that is being read.
    pub(super) columns: usize,
    /// Names that nobody knows, with how often they came.
    unknown: BTreeMap<String, usize>,
    made: usize,
}

impl<'a> Reader<'a> {
    pub fn new(project: &'a Project, known: &'a Aux) -> Reader<'a> {
        Reader {
            gullet: Gullet::new(project, PRELUDE),
            draft: Draft::new(Source::Latex),
            known,
            aux: Aux::default(),
            counters: Counters::new(false),
            text: Inline::default(),
            after: Vec::new(),
            frames: Vec::new(),
            depth: 0,
            in_preamble: false,
            ended: false,
            front_done: false,
            preamble_abstract: None,
            anchor: Anchor::default(),
            subequation: None,
            theorems: HashMap::new(),
            bib_files: Vec::new(),
            bib_style: String::new(),
            open_entry: None,
            entries: 0,
            columns: 1,
            unknown: BTreeMap::new(),
            made: 0,
        }
    }

    pub fn run(mut self, text: &str) -> (Document, Aux) {
        self.in_preamble = text.contains("\\begin{document}");
        self.gullet.mouth.open(text, false);
        self.read();
        self.depth = 0;
        self.paragraph();
        self.print_front();
        let warnings = std::mem::take(&mut self.gullet.warnings);
        warnings.into_iter().for_each(|warning| self.draft.warn(warning));
        self.warn_of_unknown();
        (self.draft.finish(), self.aux)
    }

    fn warn_of_unknown(&mut self) {
        const MOST_NAMED: usize = 8;
        let mut names: Vec<_> = std::mem::take(&mut self.unknown).into_iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let named: Vec<String> = names.iter().take(MOST_NAMED).map(|(name, _)| format!("\\{name}")).collect();
        if !named.is_empty() {
            let more = if names.len() > MOST_NAMED { ", …" } else { "" };
            self.draft.warn(format!("commands that are not known, left out: {}{more}", named.join(", ")));
        }
    }

    /// Reads up to the end of the document, or of what was pushed behind a barrier.
    pub(super) fn read(&mut self) {
        while !self.ended
            && self.made < MOST_TEXT
            && !crate::interrupt::requested()
            && let Some(token) = self.gullet.next()
        {
            self.take(token);
        }
    }

    fn take(&mut self, token: Token) {
        match token {
            Token::Open => self.gullet.begin_group(),
            Token::Close => self.gullet.end_group(),
            Token::Command(name) => self.command(&name),
            _ if self.in_preamble && self.depth == 0 => {}
            Token::Char(c) => self.character(c),
            Token::Space | Token::Tie | Token::Align => self.text.push(' '),
            Token::Par => self.blank_line(),
            Token::Math => self.math(),
            Token::Param(0) => self.text.push('#'),
            Token::Param(_) => {}
        }
    }

    /// Hyphens and quotes that stand together become one character, as in print.
    fn character(&mut self, c: char) {
        let together = match c {
            '-' if self.text.take('–') => '—',
            '-' if self.text.take('-') => '–',
            '`' if self.text.take('‘') => '“',
            '`' => '‘',
            '\'' if self.text.take('’') => '”',
            '\'' => '’',
            c => c,
        };
        self.text.push(together);
    }

    pub(super) fn put(&mut self, text: &str) {
        if !self.in_preamble || self.depth > 0 {
            self.text.push_str(text);
        }
    }

    /// Tokens as running text of their own: an argument.
    pub(super) fn inline(&mut self, tokens: Vec<Token>) -> Inline {
        if self.depth >= DEEPEST {
            return Inline::of(&written(&tokens));
        }
        let outer = std::mem::take(&mut self.text);
        let frames = std::mem::take(&mut self.frames);
        self.depth += 1;
        self.gullet.begin_group();
        self.gullet.mouth.bar();
        self.gullet.mouth.push(tokens);
        self.read();
        self.gullet.mouth.lift();
        self.gullet.end_group();
        self.depth -= 1;
        self.frames = frames;
        std::mem::replace(&mut self.text, outer)
    }

    /// Tokens as plain text.
    pub(super) fn plain(&mut self, tokens: Vec<Token>) -> String {
        let after = self.after.len();
        let (text, _) = self.inline(tokens).finish();
        self.after.truncate(after);
        text
    }

    /// The next argument as running text.
    pub(super) fn inline_argument(&mut self) -> Inline {
        let tokens = self.gullet.argument();
        self.inline(tokens)
    }

    fn blank_line(&mut self) {
        // Entries of a bibliography end where the next one begins, steps of an algorithm likewise.
        match self.frames.last() {
            Some(frame) if frame.keeps_paragraphs() => self.text.push(' '),
            _ => self.paragraph(),
        }
    }

    /// Ends the paragraph that is being put together.
    pub(super) fn paragraph(&mut self) {
        if self.depth > 0 {
            return self.text.push(' ');
        }
        let text = std::mem::take(&mut self.text);
        if self.in_preamble {
            return;
        }
        if !text.is_empty() {
            self.made += text.as_str().len();
            self.finish_paragraph(text);
        }
        for (kind, text) in std::mem::take(&mut self.after) {
            self.draft.push(kind, text);
        }
    }

    /// A block that is no paragraph, where it stands; inside of arguments its text is kept in the line.
    pub(super) fn block(&mut self, kind: BlockKind, text: &str) {
        if self.in_preamble && self.depth == 0 {
            return;
        }
        if self.depth > 0 {
            self.text.push(' ');
            self.text.push_str(text);
            self.text.push(' ');
            return;
        }
        self.paragraph();
        self.made += text.len();
        self.draft.push_lines(kind, text);
    }

    /// Something that goes on in its own blocks while the paragraph around it does not end: a caption, a note.
    pub(super) fn aside(&mut self, kind: BlockKind, text: Inline) {
        if self.depth > 0 || !self.text.is_empty() {
            self.after.push((kind, text));
        } else if !self.in_preamble {
            self.draft.push(kind, text);
        }
    }

    pub(super) fn unknown(&mut self, name: &str) {
        if !self.in_preamble && self.gullet.mouth.peek() != Some(Token::Open) && name.chars().all(char::is_alphabetic) {
            *self.unknown.entry(name.to_string()).or_default() += 1;
        }
    }
}

/// What LaTeX's own classes define, as far as numbers and names are printed.
const PRELUDE: &str = r"
\def\thepart{\Roman{part}}\def\thechapter{\arabic{chapter}}\def\thesection{\arabic{section}}
\def\thesubsection{\thesection.\arabic{subsection}}\def\thesubsubsection{\thesubsection.\arabic{subsubsection}}
\def\theparagraph{\thesubsubsection.\arabic{paragraph}}\def\thesubparagraph{\theparagraph.\arabic{subparagraph}}
\def\thefigure{\arabic{figure}}\def\thetable{\arabic{table}}\def\theequation{\arabic{equation}}
\def\thealgorithm{\arabic{algorithm}}\def\thealgocf{\arabic{algocf}}\def\thelstlisting{\arabic{lstlisting}}
\def\thelisting{\arabic{listing}}\def\thefootnote{\arabic{footnote}}\def\thesubfigure{\alph{subfigure}}
\def\theenumi{\arabic{enumi}}\def\theenumii{\alph{enumii}}\def\theenumiii{\roman{enumiii}}\def\theenumiv{\Alph{enumiv}}
\def\labelenumi{\theenumi.}\def\labelenumii{(\theenumii)}\def\labelenumiii{\theenumiii.}\def\labelenumiv{\theenumiv.}
\def\figurename{Figure}\def\tablename{Table}\def\abstractname{Abstract}\def\refname{References}\def\proofname{Proof}
\def\bibname{Bibliography}\def\appendixname{Appendix}\def\algorithmname{Algorithm}\def\lstlistingname{Listing}
";
