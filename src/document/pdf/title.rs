//! The paper's title: the largest text of the first page, else what the metadata says if it can be one.

use super::layout::Chunk;
use super::lines::Line;
use super::pdfium::UNMAPPED;
use super::words::{Vocabulary, join};

/// `chunks`: the first page in reading order; `body`: the size of the paper's main text.
pub fn title(chunks: &[Chunk], body: f32, metadata: Option<&str>, vocabulary: &Vocabulary) -> Option<String> {
    let metadata = metadata.filter(|title| is_plausible(title)).map(tidy);
    match largest(chunks, body, vocabulary) {
        Some(title) if title.contains(UNMAPPED) => metadata.or(Some(title)),
        Some(title) => Some(title),
        None => metadata,
    }
}

fn largest(chunks: &[Chunk], body: f32, vocabulary: &Vocabulary) -> Option<String> {
    let lines: Vec<&Line> = chunks.iter().flat_map(|chunk| &chunk.lines).collect();
    let mut sizes: Vec<f32> = lines.iter().filter(|line| line.size > 1.1 * body).map(|line| line.size).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    sizes.dedup_by(|b, a| *b > 0.97 * *a);
    let found: Vec<(f32, String)> =
        sizes.into_iter().take(4).filter_map(|size| of_size(&lines, size, vocabulary)).collect();
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count();
    let (top, largest) = found.first()?;
    // A logo's few words may be larger than the title above them.
    let above = found.iter().find(|(other, text)| other < top && letters(text) >= 20 && largest.is_ascii());
    let title = above.filter(|_| letters(largest) < 16).map_or(largest, |(_, text)| text);
    Some(title.clone())
}

/// The first lines of this size that may be a title, and where they stand.
fn of_size(lines: &[&Line], size: f32, vocabulary: &Vocabulary) -> Option<(f32, String)> {
    let is_of_size = |line: &&Line| line.size <= 1.01 * size && line.size > 0.96 * size;
    let start = lines.iter().position(is_of_size)?;
    let mut text = String::new();
    let mut previous: Option<&Line> = None;
    for line in lines[start..].iter().take_while(|line| is_of_size(line)) {
        if previous.is_some_and(|previous| line.baseline - previous.baseline > 2.5 * size) {
            break;
        }
        join(&mut text, &line.text, vocabulary);
        previous = Some(line);
    }
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let enough = if text.is_ascii() { letters >= 8 } else { letters >= 4 };
    (enough && text.chars().count() <= 300).then(|| (lines[start].baseline, tidy(&text)))
}

fn tidy(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.trim_end_matches(['*', '∗', '†', '‡', '⋆']).trim_end().to_string()
}

/// Metadata often holds a file's name or a program's default instead of a title.
fn is_plausible(title: &str) -> bool {
    let lower = title.trim().to_lowercase();
    let letters = lower.chars().filter(|c| c.is_alphabetic()).count();
    let file_name = [".dvi", ".tex", ".doc", ".docx", ".pdf", ".ps", ".ppt", ".pptx", ".indd"]
        .iter()
        .any(|ending| lower.ends_with(ending));
    let default = ["microsoft word", "untitled", "powerpoint", "title", "無題", "slide 1"]
        .iter()
        .any(|start| lower.starts_with(start));
    letters >= 4 && (!title.is_ascii() || lower.contains(' ')) && !file_name && !default && lower.chars().count() <= 300
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[(&str, f32, f32)]) -> Vec<Chunk> {
        let line = |&(text, size, baseline): &(&str, f32, f32)| Line {
            text: text.into(),
            size,
            baseline,
            chars: text.len(),
            ..Line::default()
        };
        vec![Chunk { lines: lines.iter().map(line).collect(), left: 0.0, right: 100.0 }]
    }

    fn found(lines: &[(&str, f32, f32)], metadata: Option<&str>) -> Option<String> {
        title(&page(lines), 10.0, metadata, &Vocabulary::default())
    }

    #[test]
    fn the_largest_lines_are_joined() {
        let lines =
            [("BERT: Pre-training of Deep", 14.0, 80.0), ("Transformers∗", 14.0, 96.0), ("Jacob Devlin", 12.0, 120.0)];
        assert_eq!(found(&lines, None).as_deref(), Some("BERT: Pre-training of Deep Transformers"));
    }

    #[test]
    fn a_drop_letter_is_no_title() {
        let lines = [("T", 40.0, 200.0), ("A Study of Something", 18.0, 80.0), ("his paper", 10.0, 210.0)];
        assert_eq!(found(&lines, None).as_deref(), Some("A Study of Something"));
    }

    #[test]
    fn a_logo_under_the_title_is_none() {
        let lines = [("An Agent for Academic Paper Search", 14.0, 80.0), ("Paper Search", 20.0, 300.0)];
        assert_eq!(found(&lines, None).as_deref(), Some("An Agent for Academic Paper Search"));
    }

    #[test]
    fn metadata_only_where_it_is_plausible() {
        let plain = [("all of one size", 10.0, 80.0)];
        assert_eq!(found(&plain, Some("A  Real Title")).as_deref(), Some("A Real Title"));
        for bad in ["paper.dvi", "Microsoft Word - final.doc", "untitled", "acl2019", ""] {
            assert_eq!(found(&plain, Some(bad)), None, "{bad}");
        }
    }
}
