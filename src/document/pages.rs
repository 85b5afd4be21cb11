//! A choice of a document's pages, as people write it: `1-3,7,12-`.

use super::{Citation, Document, Link, Page, Reference};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// Page numbers from 1, as ranges; one without an end goes on to the last page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pages(Vec<(u32, Option<u32>)>);

impl FromStr for Pages {
    type Err = String;

    fn from_str(text: &str) -> Result<Pages, String> {
        text.split(',').map(|part| range(part.trim())).collect::<Option<Vec<_>>>().map(Pages).ok_or_else(|| {
            format!("'{text}' names no pages: write numbers from 1 and ranges, such as 1-3,7 or 5- for all from 5 on")
        })
    }
}

fn range(part: &str) -> Option<(u32, Option<u32>)> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&number| number > 0);
    match part.split_once('-') {
        None => number(part).map(|page| (page, Some(page))),
        Some((first, "")) => number(first).map(|first| (first, None)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, Some(last)))
        }
    }
}

impl TryFrom<String> for Pages {
    type Error = String;

    fn try_from(text: String) -> Result<Pages, String> {
        text.parse()
    }
}

impl From<Pages> for String {
    fn from(pages: Pages) -> String {
        pages.to_string()
    }
}

/// `1-3,7,12-`.
impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.0.iter().map(|&(first, last)| match last {
            Some(last) if last == first => first.to_string(),
            Some(last) => format!("{first}-{last}"),
            None => format!("{first}-"),
        });
        f.write_str(&ranges.collect::<Vec<_>>().join(","))
    }
}

impl Pages {
    /// The pages with these numbers, which ascend.
    pub fn of(numbers: &[u32]) -> Pages {
        let mut ranges: Vec<(u32, Option<u32>)> = Vec::new();
        for &number in numbers {
            match ranges.last_mut() {
                Some((_, Some(last))) if *last + 1 == number => *last = number,
                _ => ranges.push((number, Some(number))),
            }
        }
        Pages(ranges)
    }

    pub fn contains(&self, page: u32) -> bool {
        self.0.iter().any(|&(first, last)| first <= page && last.is_none_or(|last| page <= last))
    }

    /// The highest number that is named.
    fn highest(&self) -> u32 {
        self.0.iter().map(|&(first, last)| last.unwrap_or(first)).max().unwrap_or(0)
    }
}

impl Document {
    /// The document with nothing but what stands on `pages`: blocks (a paragraph that goes on from the page before is one
    /// of them), citations, references, links. The other pages stay in the list, marked as skipped.
    ///
    /// Errors: [`Kind::Usage`] for a page that the document does not have; `file` is what it names.
    pub fn only(self, pages: &Pages, file: &str) -> Result<Document> {
        let last = self.pages.last().map_or(0, |page| page.number);
        if pages.highest() > last {
            let problem = format!("there is no page {}: the paper ends with page {last}", pages.highest());
            return Err(Error::new(Kind::Usage, file, problem).hint(format!("choose --pages from 1 to {last}")));
        }
        let mut kept = HashMap::new();
        let mut blocks = Vec::new();
        for (index, mut block) in self.blocks.into_iter().enumerate() {
            block.spans.retain(|span| pages.contains(span.page));
            if !block.spans.is_empty() {
                kept.insert(index, blocks.len());
                blocks.push(block);
            }
        }
        let mut entries = HashMap::new();
        let mut references = Vec::new();
        for (index, reference) in self.references.into_iter().enumerate() {
            if let Some(&block) = kept.get(&reference.block) {
                entries.insert(index, references.len());
                references.push(Reference { block, ..reference });
            }
        }
        // A citation stays a citation where its entry stands on another page.
        let citation = |citation: Citation| {
            let block = *kept.get(&citation.block)?;
            let references = citation.references.iter().filter_map(|index| entries.get(index).copied()).collect();
            Some(Citation { block, references, ..citation })
        };
        let citations = self.citations.into_iter().filter_map(citation).collect();
        let links = self.links.into_iter().filter(|link: &Link| pages.contains(link.page)).collect();
        let page = |page: Page| Page { skipped: !pages.contains(page.number), ..page };
        let pages = self.pages.into_iter().map(page).collect();
        Ok(Document { pages, blocks, references, citations, links, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Block, BlockKind, LinkKind, Part, Source, Span};

    #[test]
    fn pages_are_written_as_numbers_and_ranges() {
        let pages: Pages = "1-3, 7,12-".parse().expect("pages");
        let named: Vec<u32> = (1..15).filter(|&page| pages.contains(page)).collect();
        assert_eq!(named, [1, 2, 3, 7, 12, 13, 14]);
        assert_eq!(pages.to_string(), "1-3,7,12-");
        assert_eq!(Pages::of(&[1, 2, 3, 5]).to_string(), "1-3,5");
        for bad in ["", "0", "3-1", "a", "1,,2", "-3", "1-2-3", "99999999999", "1;2"] {
            assert!(bad.parse::<Pages>().is_err_and(|problem| problem.contains("1-3,7")), "{bad}");
        }
    }

    /// Three pages with a paragraph each; the second goes on to page 3, where the entry that it cites stands.
    fn paper() -> Document {
        let block = |kind, pages: &[u32]| {
            let spans = pages.iter().map(|&page| Span { page, bbox: [0.0; 4] }).collect();
            Block::new(kind, Part::Body, format!("of {pages:?}"), spans)
        };
        let reference = Reference { text: "an entry".into(), block: 2, ..Reference::default() };
        let citation = Citation { text: "[1]".into(), block: 1, start: 0, references: vec![0] };
        let link = |page| Link { url: format!("https://{page}.org"), page, bbox: None, kind: LinkKind::Other };
        Document {
            pages: (1..4).map(|number| Page { number, ..Page::default() }).collect(),
            blocks: vec![
                block(BlockKind::Paragraph, &[1]),
                block(BlockKind::Paragraph, &[2, 3]),
                block(BlockKind::Reference, &[3]),
            ],
            references: vec![reference],
            citations: vec![citation],
            links: vec![link(1), link(3)],
            ..Document::empty("paper.pdf", Source::Pdf)
        }
    }

    #[test]
    fn what_stands_on_other_pages_goes_and_the_rest_still_fits_together() {
        let only = |pages: &str| paper().only(&pages.parse().expect("pages"), "paper.pdf").expect("they are there");
        let last = only("3");
        assert_eq!(last.pages.iter().map(|page| page.skipped).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((last.blocks.len(), last.references[0].block, last.citations[0].block), (2, 1, 0));
        assert!(last.blocks.iter().all(|block| block.page() == 3 && block.spans.len() == 1));
        assert_eq!(last.links.len(), 1);
        let second = only("2");
        assert_eq!((second.blocks.len(), second.references.len()), (1, 0));
        assert!(second.citations[0].references.is_empty());
        assert_eq!(only("1-"), paper());
    }

    #[test]
    fn a_page_that_is_not_there_is_an_error() {
        for pages in ["4", "1-4", "9-"] {
            let error = paper().only(&pages.parse().expect("pages"), "paper.pdf").expect_err(pages);
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.problem.contains("ends with page 3") && error.hint.is_some(), "{error}");
        }
    }
}
