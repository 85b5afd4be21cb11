//! PDF bytes → [`Document`]: the paper's text by page. Knows nothing of models.

use crate::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub const SCHEMA_VERSION: u32 = 1;

/// A paper as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub schema_version: u32,
    /// File name, without folders.
    pub file: String,
    pub sha256: String,
    pub title: Option<String>,
    pub pages: Vec<Page>,
    /// URLs of the paper, from its annotations and from its text, each once, in order.
    pub links: Vec<Link>,
    /// What a reader of the result should know: pages without text, unmapped glyphs, …
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// In points.
    pub width: f32,
    pub height: f32,
    pub paragraphs: Vec<Paragraph>,
    /// Lines left out of the text: running heads, page numbers, the arXiv stamp.
    pub dropped: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paragraph {
    pub text: String,
    /// Left, top, right, bottom in points from the page's upper left corner.
    pub bbox: [f32; 4],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    pub url: String,
    /// Page of its first occurrence, from 1.
    pub page: u32,
    pub kind: LinkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    Code,
    Data,
    Other,
}

impl Document {
    /// Reads `file` with the PDFium library at `library`.
    pub fn read(library: &Path, file: &Path, password: Option<&str>) -> Result<Document> {
        let _ = (library, file, password);
        Err(crate::Error::new(crate::Kind::Internal, "document", "skeleton"))
    }

    /// The whole text, paragraphs separated by an empty line.
    pub fn text(&self) -> String {
        let paragraphs = self.pages.iter().flat_map(|page| &page.paragraphs);
        paragraphs.map(|paragraph| paragraph.text.as_str()).collect::<Vec<_>>().join("\n\n")
    }
}
