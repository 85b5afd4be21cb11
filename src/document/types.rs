//! What a paper is once it was read: blocks in reading order, each with its kind, its part and its place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const SCHEMA_VERSION: u32 = 2;

/// A paper as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub schema_version: u32,
    /// File name, without folders.
    pub file: String,
    /// Of the file; of a folder, of the text that was read in it.
    pub sha256: String,
    pub source: Source,
    pub title: Option<String>,
    pub authors: Vec<String>,
    /// Sources without pages (LaTeX, Markdown, HTML, plain text) have one, of no size.
    pub pages: Vec<Page>,
    /// In reading order.
    pub blocks: Vec<Block>,
    /// The entries of the reference list, in its order.
    pub references: Vec<Reference>,
    pub citations: Vec<Citation>,
    /// URLs of the paper, from its annotations and from its text, each once, in order.
    pub links: Vec<Link>,
    /// What a reader of the result should know: pages without text, unmapped glyphs, …
    pub warnings: Vec<String>,
}

/// What a document was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    #[default]
    Pdf,
    Latex,
    Markdown,
    Html,
    Text,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// In points.
    pub width: f32,
    pub height: f32,
    pub text_quality: TextQuality,
    /// Why the text was repaired or refused, or that it comes from OCR.
    pub reason: Option<String>,
    /// Not read, because other pages were asked for.
    #[serde(default)]
    pub skipped: bool,
    /// Lines left out of the text: running heads, page numbers, watermarks, the arXiv stamp, what the page does not show.
    pub dropped: Vec<String>,
}

/// What a page's text layer is worth. The blocks of a refused page are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextQuality {
    #[default]
    Good,
    Repaired,
    Refused,
}

/// A stretch of text of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    #[serde(flatten)]
    pub kind: BlockKind,
    pub part: Part,
    /// As a reader would copy it: words joined over line ends. Of a table its cells by row, of code its lines.
    pub text: String,
    /// Where it stands, in reading order; several where it goes on in another column or on the next page.
    pub spans: Vec<Span>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BlockKind {
    Title,
    /// Names, affiliations, addresses.
    Authors,
    Heading {
        /// From 1.
        level: u8,
        /// As it is printed: `3.2`, `A.1`, `IV`.
        number: Option<String>,
    },
    Paragraph,
    ListItem,
    /// Of a figure, a table, an algorithm or a listing.
    Caption,
    Table {
        rows: Vec<Vec<String>>,
    },
    /// Displayed mathematics.
    Formula,
    /// Code or an algorithm, line by line.
    Code,
    /// Text inside a figure: labels, axes.
    Figure,
    Footnote,
    /// An entry of the reference list.
    Reference,
}

/// The part of the paper that a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Title and authors, and what stands around them.
    Front,
    /// From the abstract to the references.
    Body,
    References,
    Appendix,
}

/// A place on a page.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// From 1.
    pub page: u32,
    /// Left, top, right, bottom in points from the page's upper left corner.
    pub bbox: [f32; 4],
}

/// An entry of the reference list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// As it is printed: `12`, `Vas17`; none where entries are named by author and year.
    pub label: Option<String>,
    /// The whole entry.
    pub text: String,
    pub authors: Vec<String>,
    pub title: Option<String>,
    pub year: Option<u16>,
    pub venue: Option<String>,
    pub doi: Option<String>,
    /// With its version, if it is given: `1706.03762v7`.
    pub arxiv: Option<String>,
    pub url: Option<String>,
    /// Index of its block.
    pub block: usize,
}

/// A place in the text that names entries of the reference list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Citation {
    /// As it is printed: `[3, 5]`, `Vaswani et al., 2017`.
    pub text: String,
    /// Index of the block that it stands in.
    pub block: usize,
    /// Where it starts in the block's text, in bytes.
    pub start: usize,
    /// Indices of the entries.
    pub references: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    pub url: String,
    /// Page of its first occurrence, from 1.
    pub page: u32,
    /// On that page, where it is known: left, top, right, bottom in points.
    pub bbox: Option<[f32; 4]>,
    pub kind: LinkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    Code,
    Data,
    /// The paper's own page, a demonstration, a model.
    Project,
    Other,
}

impl Document {
    /// A document without a text.
    pub fn empty(file: impl Into<String>, source: Source) -> Document {
        Document {
            schema_version: SCHEMA_VERSION,
            file: file.into(),
            sha256: String::new(),
            source,
            title: None,
            authors: Vec::new(),
            pages: Vec::new(),
            blocks: Vec::new(),
            references: Vec::new(),
            citations: Vec::new(),
            links: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Block {
    pub fn new(kind: BlockKind, part: Part, text: impl Into<String>, spans: Vec<Span>) -> Block {
        Block { kind, part, text: text.into(), spans }
    }

    /// The page that it starts on.
    pub fn page(&self) -> u32 {
        self.spans.first().map_or(1, |span| span.page)
    }

    pub fn is_heading(&self) -> bool {
        matches!(self.kind, BlockKind::Heading { .. })
    }

    /// Running text of the paper's body: headings, paragraphs and lists, without captions, tables, formulas, notes.
    pub fn is_prose(&self) -> bool {
        matches!(self.kind, BlockKind::Heading { .. } | BlockKind::Paragraph | BlockKind::ListItem)
    }

    /// Of the paper's body and prose: what `--only body` shows.
    pub fn is_body(&self) -> bool {
        self.part == Part::Body && self.is_prose()
    }
}
