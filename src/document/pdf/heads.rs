//! Running heads, page numbers and the arXiv stamp: lines that belong to the page and not to the text.

use super::layout::Chunk;
use super::lines::Line;
use crate::document::pattern;
use regex::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Share of the page's height, at its top and at its bottom, in which running heads stand.
const ZONE: f32 = 0.11;
/// How many rows from the outside are looked at.
const ROWS: usize = 3;

/// Takes running heads, page numbers and stamps out of the pages' lines. `heights` are the pages' heights across their
/// lines. Returns what was taken, by page.
pub fn drop_heads(pages: &mut [Vec<Chunk>], heights: &[f32]) -> Vec<Vec<String>> {
    let original = pages.to_vec();
    let outer = outer_lines(pages, heights);
    let count = pages.len();
    let mut dropped = Vec::with_capacity(pages.len());
    for (page, (chunks, height)) in pages.iter_mut().zip(heights).enumerate() {
        let rows = outer_rows(chunks, *height);
        let mut number_rows = number_rows(chunks, *height);
        let stands_in = |rows: &[f32], line: &Line| rows.iter().any(|row| (row - line.baseline).abs() < 3.0);
        let is_head = |line: &Line| stands_in(&rows, line) && is_repeated(&outer, page, line, count);
        // A number beside a running head is its page's, whatever stands further out.
        number_rows.extend(
            chunks.iter().flat_map(|chunk| &chunk.lines).filter(|line| is_head(line)).map(|line| line.baseline),
        );
        let mut out = Vec::new();
        for chunk in chunks.iter_mut() {
            chunk.lines.retain(|line| {
                let number = stands_in(&number_rows, line) && is_page_number(&line.text);
                if is_head(line) || number || is_arxiv_stamp(&line.text) {
                    out.push(line.text.clone());
                    return false;
                }
                true
            });
        }
        chunks.retain(|chunk| !chunk.lines.is_empty());
        dropped.push(out);
    }
    if pages.iter().all(Vec::is_empty) {
        // Nothing but such lines: then they are what the document has to say.
        pages.clone_from_slice(&original);
        return vec![Vec::new(); pages.len()];
    }
    dropped
}

/// `arXiv:1706.03762v7 [cs.CL] 2 Aug 2023`, as arXiv prints it on the first page's margin.
fn is_arxiv_stamp(text: &str) -> bool {
    static STAMP: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^arXiv:\s?(\d{4}\.\d{4,5}|[a-z\-]+(\.[A-Z]{2})?/\d{7})(v\d+)?\s*\[[\w.\-]+\]\s*\d{1,2}\s")
    });
    STAMP.is_match(text)
}

/// A line beside the page's text that belongs to the page: the arXiv stamp, or a number at its edge.
pub fn is_stamp(line: &Line, height: f32) -> bool {
    let outside = line.baseline < ZONE * height || line.baseline > (1.0 - ZONE) * height;
    is_arxiv_stamp(&line.text) || outside && is_page_number(&line.text)
}

/// A line that is nothing but a page number: `3`, `- 3 -`, `Page 3 of 9`, `3/9`, `xii`.
fn is_page_number(text: &str) -> bool {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^[\s\-–—−|]*(([Pp]age|p\.)\s*)?(\d{1,4}|[ivxl]{1,6})(\s*(/|of)\s*\d{1,4})?[\s\-–—−|]*$")
    });
    NUMBER.is_match(text)
}

/// The text with its digits masked, so that the page number in a running head does not tell its pages apart.
pub fn key(text: &str) -> String {
    let masked: String =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| if c.is_numeric() { '#' } else { c }).collect();
    let mut key = String::with_capacity(masked.len());
    for c in masked.to_lowercase().chars() {
        if c != '#' || !key.ends_with('#') {
            key.push(c);
        }
    }
    key
}

/// Baselines of the outermost rows within the zones.
fn outer_rows(chunks: &[Chunk], height: f32) -> Vec<f32> {
    let mut baselines: Vec<f32> = chunks.iter().flat_map(|chunk| &chunk.lines).map(|line| line.baseline).collect();
    baselines.sort_by(f32::total_cmp);
    baselines.dedup_by(|b, a| (*b - *a).abs() < 3.0);
    let top = baselines.iter().take(ROWS).filter(|baseline| **baseline < ZONE * height);
    let bottom = baselines.iter().rev().take(ROWS).filter(|baseline| **baseline > (1.0 - ZONE) * height);
    top.chain(bottom).copied().collect()
}

/// An outer line of one page.
struct Outer {
    page: usize,
    baseline: f32,
    text: String,
}

/// Outer lines by their masked texts.
fn outer_lines(pages: &[Vec<Chunk>], heights: &[f32]) -> HashMap<String, Vec<Outer>> {
    let mut found: HashMap<String, Vec<Outer>> = HashMap::new();
    for (page, (chunks, height)) in pages.iter().zip(heights).enumerate() {
        let rows = outer_rows(chunks, *height);
        for line in chunks.iter().flat_map(|chunk| &chunk.lines) {
            if rows.iter().any(|row| (row - line.baseline).abs() < 3.0) {
                let mut add = |text: &str| {
                    let outer = Outer { page, baseline: line.baseline, text: text.to_string() };
                    found.entry(key(text)).or_default().push(outer);
                };
                add(&line.text);
                // On a page where the number stands far off, the head is a line of its own.
                line.pieces().filter(|piece| *piece != line.text).for_each(&mut add);
            }
        }
    }
    found.retain(|key, _| key.chars().any(|c| c != '#'));
    found
}

/// Whether a line stands in the same place on other pages: word for word, or with a number that counts the pages.
fn is_repeated(outer: &HashMap<String, Vec<Outer>>, page: usize, line: &Line, pages: usize) -> bool {
    let enough = if pages <= 7 { 2 } else { 3 };
    let alike = outer.get(&key(&line.text)).map_or(&[][..], Vec::as_slice);
    let here: Vec<&Outer> = alike.iter().filter(|other| (other.baseline - line.baseline).abs() < 6.0).collect();
    let counts_pages = |number: i64| {
        let follows = |other: &&&Outer| numbers(&other.text).any(|n| n - other.page as i64 == number - page as i64);
        here.iter().filter(follows).count() >= pages.min(3)
    };
    here.iter().filter(|other| other.text == line.text).count() >= enough || numbers(&line.text).any(counts_pages)
}

fn numbers(text: &str) -> impl Iterator<Item = i64> + '_ {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| digits.len() <= 6)
        .filter_map(|digits| digits.parse().ok())
}

/// Baselines at which a number is a page number: the page's first row, and the last if it stands clear of the row above.
fn number_rows(chunks: &[Chunk], height: f32) -> Vec<f32> {
    let mut baselines: Vec<f32> = chunks.iter().flat_map(|chunk| &chunk.lines).map(|line| line.baseline).collect();
    baselines.sort_by(f32::total_cmp);
    let first = baselines.first().copied().filter(|first| *first < ZONE * height);
    let last = baselines.last().copied().filter(|last| {
        let above = baselines.iter().rev().find(|baseline| *last - **baseline > 3.0);
        *last > (1.0 - ZONE) * height && above.is_none_or(|above| last - above > 14.0)
    });
    first.into_iter().chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[(&str, f32)]) -> Vec<Chunk> {
        let line = |(text, baseline): &(&str, f32)| Line {
            text: (*text).into(),
            baseline: *baseline,
            size: 10.0,
            ..Line::default()
        };
        vec![Chunk { lines: lines.iter().map(line).collect(), left: 0.0, right: 100.0 }]
    }

    fn texts(chunks: &[Chunk]) -> Vec<&str> {
        chunks.iter().flat_map(|chunk| &chunk.lines).map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn heads_that_repeat_and_page_numbers_go_and_the_text_stays() {
        let mut pages: Vec<Vec<Chunk>> = (1..=4)
            .map(|number| {
                let head = format!("ICLR 2022, page {number}");
                let text = format!("text {} of its own", ["one", "two", "three", "four"][number - 1]);
                page(&[(&head, 30.0), (&text, 60.0), ("same in all", 400.0), (&number.to_string(), 780.0)])
            })
            .collect();
        let dropped = drop_heads(&mut pages, &[800.0; 4]);
        assert_eq!(dropped[2], ["ICLR 2022, page 3", "3"]);
        assert_eq!(texts(&pages[2]), ["text three of its own", "same in all"]);
    }

    #[test]
    fn lines_that_only_look_alike_stay() {
        let endings =
            ["arXiv:1406.2661, 2014.", "arXiv:1503.2531, 2019.", "arXiv:1706.3762, 2011.", "arXiv:1810.4805, 2021."];
        let mut pages: Vec<Vec<Chunk>> = endings.iter().map(|text| page(&[("text", 400.0), (text, 760.0)])).collect();
        assert!(drop_heads(&mut pages, &[800.0; 4]).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_number_that_ends_the_text_stays() {
        let mut pages = vec![page(&[("the result was", 766.0), ("42", 778.0)])];
        assert_eq!(drop_heads(&mut pages, &[800.0]), [Vec::<String>::new()]);
        assert_eq!(texts(&pages[0]), ["the result was", "42"]);
    }

    #[test]
    fn the_arxiv_stamp_is_known_and_a_citation_is_not() {
        assert!(is_arxiv_stamp("arXiv:1706.03762v7 [cs.CL] 2 Aug 2023"));
        assert!(is_arxiv_stamp("arXiv:hep-th/9901001v1 [hep-th] 1 Jan 1999"));
        assert!(!is_arxiv_stamp("arXiv:1706.03762, 2017."));
    }

    #[test]
    fn page_numbers() {
        for number in ["3", "- 3 -", "Page 3 of 9", "3/9", "xii"] {
            assert!(is_page_number(number), "{number}");
        }
        for text in ["3.1", "", "12345", "mix of", "Table 3"] {
            assert!(!is_page_number(text), "{text}");
        }
    }
}
