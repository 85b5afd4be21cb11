//! Text inside figures: labels, axes, legends. It stands on a picture that the page draws.

use super::super::layout::Chunk;
use super::super::lines::{Line, Rect};
use super::super::marks::is_caption;
use super::{Found, Sheet, is_running_text, tables};
use crate::document::BlockKind;

/// Share of a line's characters that stand on pictures.
const INSIDE: f32 = 0.8;
/// Pictures lower than this (in sizes of the main text) are bars behind a heading, buttons, icons.
const MIN_HEIGHT: f32 = 3.5;
/// A caption stands no further from its picture than this, in sizes of the main text.
const CAPTION_GAP: f32 = 5.0;
/// Share of running text that a picture's lines may hold; with more it is a coloured box around text.
const PROSE: f32 = 0.35;

pub fn find(chunk: &Chunk, sheet: &Sheet, taken: &[bool]) -> Vec<Found> {
    let high = sheet.pictures.iter().filter(|picture| picture.bottom - picture.top > MIN_HEIGHT * sheet.body);
    let pictures = high.map(|picture| around(*picture, 0.6 * sheet.body));
    let pictures: Vec<Rect> = pictures.filter(|picture| !frames_text(std::slice::from_ref(chunk), picture)).collect();
    let captioned: Vec<Rect> = pictures.iter().copied().filter(|picture| has_caption(chunk, picture, sheet)).collect();
    let mut found = Vec::new();
    let mut group: Vec<usize> = Vec::new();
    for (index, line) in chunk.lines.iter().enumerate() {
        // Without a caption it may be text on a picture.
        let pictures = if is_running_text(line) { &captioned } else { &pictures };
        let on_picture = share_inside(line, pictures) >= INSIDE || is_label(line, pictures);
        if !taken[index] && on_picture && !is_caption(&line.text) {
            group.push(index);
        } else if !group.is_empty() {
            found.push(block(chunk, std::mem::take(&mut group)));
        }
    }
    if !group.is_empty() {
        found.push(block(chunk, group));
    }
    found
}

fn has_caption(chunk: &Chunk, picture: &Rect, sheet: &Sheet) -> bool {
    let gap = CAPTION_GAP * sheet.body;
    let near = |line: &&Line| line.baseline > picture.top - gap && line.bbox.top < picture.bottom + gap;
    chunk.lines.iter().filter(near).any(|line| is_caption(&line.text) && !tables::is_caption(&line.text))
}

/// Names of the parts of a picture, beside each other right above or below it: `(a)   (b)`.
fn is_label(line: &Line, pictures: &[Rect]) -> bool {
    let near = |picture: &&Rect| {
        line.baseline > picture.top - 0.8 * line.size && line.bbox.top < picture.bottom + 0.8 * line.size
    };
    let beside: Vec<Rect> = pictures.iter().filter(near).copied().collect();
    let Some(area) = beside.into_iter().reduce(Rect::union) else { return false };
    let within = line.bbox.left > area.left - line.size && line.bbox.right < area.right + line.size;
    within && line.cells >= 2 && !is_running_text(line) && line.text.split_whitespace().count() <= 12
}

fn around(rect: Rect, margin: f32) -> Rect {
    let Rect { left, top, right, bottom } = rect;
    Rect { left: left - margin, top: top - margin, right: right + margin, bottom: bottom + margin }
}

/// Whether a picture is a box around running text, or around a table with its caption.
pub fn frames_text(chunks: &[Chunk], picture: &Rect) -> bool {
    let lines = || chunks.iter().flat_map(|chunk| &chunk.lines);
    let inside = |line: &&Line| share_inside(line, std::slice::from_ref(picture)) >= INSIDE;
    if lines().filter(inside).any(|line| tables::is_caption(&line.text)) {
        return true;
    }
    let count = |lines: &mut dyn Iterator<Item = &Line>| -> usize { lines.map(|line| line.chars).sum() };
    let all = count(&mut lines().filter(inside));
    let running = count(&mut lines().filter(inside).filter(|line| is_running_text(line)));
    running as f32 > PROSE * all as f32
}

fn share_inside(line: &Line, pictures: &[Rect]) -> f32 {
    let middle = line.baseline - 0.35 * line.size;
    let rows: Vec<&Rect> =
        pictures.iter().filter(|picture| picture.top <= middle && middle <= picture.bottom).collect();
    let (mut inside, mut all) = (0, 0);
    for fragment in &line.fragments {
        let chars = fragment.text.chars().count();
        let x = (fragment.left + fragment.right) / 2.0;
        all += chars;
        inside += if rows.iter().any(|picture| picture.left <= x && x <= picture.right) { chars } else { 0 };
    }
    if all == 0 { 0.0 } else { inside as f32 / all as f32 }
}

fn block(chunk: &Chunk, lines: Vec<usize>) -> Found {
    let text = lines.iter().map(|index| chunk.lines[*index].text.as_str()).collect::<Vec<_>>().join("\n");
    Found { lines, kind: BlockKind::Figure, text }
}

#[cfg(test)]
mod tests {
    use super::super::super::faces::Face;
    use super::super::tests::{chunk, line, prose};
    use super::*;

    fn sheet() -> Sheet {
        let picture = Rect { left: 100.0, top: 103.0, right: 320.0, bottom: 139.0 };
        Sheet { pictures: vec![picture], body: 10.0, ..Sheet::default() }
    }

    #[test]
    fn labels_on_a_picture_are_its_text_and_the_caption_is_not() {
        let lines = vec![
            prose(0),
            line(1, &[("0.1", 110.0), ("0.2", 200.0)], Face::Plain),
            line(2, &[("epochs", 180.0)], Face::Plain),
            line(4, &[("Figure 1: Loss by epoch", 100.0)], Face::Plain),
        ];
        let found = find(&chunk(lines), &sheet(), &[false; 4]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].lines.as_slice(), found[0].text.as_str()), (&[1, 2][..], "0.1 0.2\nepochs"));
    }

    #[test]
    fn a_box_around_running_text_is_no_figure() {
        assert_eq!(find(&chunk((0..4).map(prose).collect()), &sheet(), &[false; 4]), []);
        let label = |row| line(row, &[("한국어로 쓴 문장도 본문이며 그림이 아니다", 100.0)], Face::Plain);
        assert_eq!(find(&chunk((0..4).map(label).collect()), &sheet(), &[false; 4]), [], "a script without capitals");
    }

    #[test]
    fn a_heading_on_a_bar_stays_a_heading() {
        let bar = Rect { left: 90.0, top: 84.0, right: 330.0, bottom: 112.0 };
        let heading = line(0, &[("3 Results", 100.0)], Face::Plain);
        let sheet = Sheet { pictures: vec![bar], ..sheet() };
        assert_eq!(find(&chunk(vec![heading, prose(2)]), &sheet, &[false; 2]), []);
    }
}
