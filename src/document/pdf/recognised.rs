//! What OCR found on a page → [`Glyph`]s, as if the page had a text layer.

use super::pdfium::{Glyph, RawDocument};
use super::quality::Verdict;
use crate::document::TextQuality;
use crate::document::ocr::Recognised;
use std::collections::HashMap;

/// Points to an inch.
const INCH: f32 = 72.0;
/// Words that Tesseract is less sure of, in percent, are specks and lines of figures.
const SURE: f32 = 30.0;

/// A row of Tesseract's table: a word, or a line without text.
struct Row<'a> {
    level: u8,
    /// Block, paragraph, line.
    line: (u32, u32, u32),
    /// Left, top, right, bottom in points.
    bbox: [f32; 4],
    sure: f32,
    text: &'a str,
}

/// Gives the recognised pages their glyphs, and says so in their verdicts. A page without words stays as it is.
pub fn put(raw: &mut RawDocument, verdicts: &mut [Verdict], recognised: &[Recognised], languages: &str) {
    for each in recognised {
        let Some(index) = (each.page as usize).checked_sub(1) else { continue };
        let (Some(page), Some(verdict)) = (raw.pages.get_mut(index), verdicts.get_mut(index)) else { continue };
        let glyphs = glyphs(&each.tsv, INCH / each.resolution.max(1.0));
        if glyphs.is_empty() {
            continue;
        }
        page.glyphs = glyphs;
        let by = format!("read by OCR (Tesseract, {languages}), words may be misread");
        let reason = verdict.reason.take().map_or_else(|| by.clone(), |reason| format!("{by}; {reason}"));
        let hidden = std::mem::take(&mut verdict.hidden);
        *verdict = Verdict { quality: TextQuality::Repaired, reason: Some(reason), note: None, hidden };
    }
}

/// `dot`: points to a dot.
fn glyphs(tsv: &str, dot: f32) -> Vec<Glyph> {
    let rows: Vec<Row> = tsv.lines().filter_map(|line| row(line, dot)).collect();
    let sizes = sizes(&rows);
    let mut glyphs = Vec::new();
    let (mut bottom, mut last) = (0.0, None);
    for row in rows {
        if row.level == 4 {
            bottom = row.bbox[3];
        }
        if row.level != 5 || row.text.is_empty() || row.sure < SURE {
            continue;
        }
        let size = sizes.get(&(row.line.0, row.line.1)).copied().unwrap_or(10.0);
        word(&mut glyphs, &row, bottom, size, last != Some(row.line));
        last = Some(row.line);
    }
    glyphs
}

/// The lines of a paragraph have one size, of its middle line: single ones are higher or lower by what letters they hold.
fn sizes(rows: &[Row]) -> HashMap<(u32, u32), f32> {
    let mut heights: HashMap<(u32, u32), Vec<f32>> = HashMap::new();
    for row in rows.iter().filter(|row| row.level == 4) {
        heights.entry((row.line.0, row.line.1)).or_default().push(row.bbox[3] - row.bbox[1]);
    }
    let middle = |mut heights: Vec<f32>| {
        heights.sort_by(f32::total_cmp);
        heights[heights.len() / 2].clamp(1.0, 200.0)
    };
    heights.into_iter().map(|(paragraph, heights)| (paragraph, middle(heights))).collect()
}

/// The letters of a word share its width.
fn word(glyphs: &mut Vec<Glyph>, row: &Row, bottom: f32, size: f32, first: bool) {
    let [left, _, right, _] = row.bbox;
    let count = row.text.chars().count() as f32;
    let baseline = bottom - 0.22 * size;
    for (index, ch) in row.text.chars().enumerate() {
        let x = |index: usize| left + (right - left) * index as f32 / count;
        glyphs.push(Glyph {
            ch,
            bbox: [x(index), baseline - 0.75 * size, x(index + 1), baseline + 0.25 * size],
            origin: (x(index), baseline),
            size,
            space_before: index == 0 && !first,
            break_before: index == 0 && first,
            ..Glyph::default()
        });
    }
}

/// Columns: level, page, block, paragraph, line, word, left, top, width, height, sureness, text.
fn row(line: &str, dot: f32) -> Option<Row<'_>> {
    let columns: Vec<&str> = line.splitn(12, '\t').collect();
    let [level, _, block, paragraph, line, _, left, top, width, height, sure, text] = columns[..] else { return None };
    let points = |text: &str| text.parse::<f32>().ok().map(|dots| dots * dot).filter(|points| points.is_finite());
    let (left, top) = (points(left)?, points(top)?);
    Some(Row {
        level: level.parse().ok()?,
        line: (block.parse().ok()?, paragraph.parse().ok()?, line.parse().ok()?),
        bbox: [left, top, left + points(width)?, top + points(height)?],
        sure: sure.parse().ok()?,
        text: text.trim(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::pdf::pdfium::RawPage;

    const TSV: &str = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n\
        1\t1\t0\t0\t0\t0\t0\t0\t2550\t3300\t-1\t\n\
        4\t1\t1\t1\t1\t0\t300\t600\t700\t50\t-1\t\n\
        5\t1\t1\t1\t1\t1\t300\t600\t300\t50\t96.1\tTwo\n\
        5\t1\t1\t1\t1\t2\t650\t600\t350\t50\t95.0\twords\n\
        5\t1\t1\t1\t1\t3\t1200\t600\t9\t9\t3.0\t~\n\
        4\t1\t1\t1\t2\t0\t300\t700\t700\t40\t-1\t\n\
        5\t1\t1\t1\t2\t1\t300\t700\t300\t40\t91\tbelow\n\
        torn\trow\n";

    #[test]
    fn words_stand_where_tesseract_saw_them() {
        let glyphs = glyphs(TSV, INCH / 300.0);
        let text: String = glyphs
            .iter()
            .map(|glyph| match glyph {
                Glyph { break_before: true, ch, .. } => format!("\n{ch}"),
                Glyph { space_before: true, ch, .. } => format!(" {ch}"),
                Glyph { ch, .. } => ch.to_string(),
            })
            .collect();
        assert_eq!(text, "\nTwo words\nbelow");
        let first = &glyphs[0];
        assert!((first.bbox[0] - 72.0).abs() < 0.01 && (first.bbox[2] - 96.0).abs() < 0.01, "{first:?}");
        assert!(glyphs.iter().all(|glyph| (glyph.size - 12.0).abs() < 0.01));
    }

    #[test]
    fn recognised_pages_say_so_and_pages_without_words_stay() {
        let mut raw = RawDocument { pages: vec![RawPage::default(), RawPage::default()], ..RawDocument::default() };
        let refused =
            Verdict { quality: TextQuality::Refused, reason: Some("an image fills it".into()), ..Verdict::default() };
        let mut verdicts = vec![refused.clone(), refused];
        let recognised = [(1, TSV), (2, ""), (0, TSV), (7, TSV)].map(|(page, tsv)| Recognised {
            page,
            tsv: tsv.into(),
            resolution: 300.0,
        });
        put(&mut raw, &mut verdicts, &recognised, "eng");
        assert_eq!(verdicts[0].quality, TextQuality::Repaired);
        let reason = verdicts[0].reason.as_deref().unwrap_or_default();
        assert!(reason.contains("read by OCR") && reason.contains("an image fills it"), "{reason}");
        assert_eq!(verdicts[1].quality, TextQuality::Refused);
    }
}
