//! Letters without ink, or white ones on a white page: whether they are seen tells only the page as it is drawn.

use super::Glyph;
use super::render::draw;
use crate::document::ocr::Picture;
use pdfium_render::prelude::*;

/// Dots to an inch: letters of ordinary size are some six dots high.
const RESOLUTION: f32 = 72.0;
/// Dots of this grey and lighter are the paper's.
const PAPER: u8 = 0xF0;
/// From this share of other dots on, something is seen.
const SEEN: f32 = 0.02;

/// Places looked at along each side of a letter, however large it says it is.
const LOOKS: usize = 32;

/// Marks what is drawn in white or without ink where the page shows nothing. A line is judged as a whole, since the text
/// layer over a picture seldom stands where the picture's letters do to the dot.
pub fn mark(page: &PdfPage, glyphs: &mut [Glyph]) {
    let doubtful = |glyph: &Glyph| glyph.pale || glyph.invisible;
    if !glyphs.iter().any(doubtful) {
        return;
    }
    let Ok(picture) = draw(page, RESOLUTION) else { return };
    for line in glyphs.chunk_by_mut(|a, b| doubtful(a) == doubtful(b) && !b.break_before) {
        let blank = line.iter().filter(|glyph| doubtful(glyph) && is_blank(&picture, glyph.bbox)).count();
        if 2 * blank > line.len() {
            line.iter_mut().for_each(|glyph| glyph.unseen = true);
        }
    }
}

/// Whether a place of the page, in points, shows nothing. What is off the page is not shown either.
fn is_blank(picture: &Picture, [left, top, right, bottom]: [f32; 4]) -> bool {
    let dots = |from: f32, to: f32, most: usize| {
        // What stands left of the page or above it has no dots: a negative number becomes none.
        let dot = |points: f32| ((points * picture.resolution / 72.0).max(0.0) as usize).min(most);
        let dots = dot(from)..dot(to);
        let step = (dots.len() / LOOKS).max(1);
        dots.step_by(step)
    };
    let (mut all, mut seen) = (0, 0);
    for row in dots(top, bottom, picture.height) {
        for column in dots(left, right, picture.width) {
            all += 1;
            let grey = picture.grey.get(row * picture.width + column);
            seen += usize::from(grey.is_some_and(|grey| *grey < PAPER));
        }
    }
    (seen as f32) < SEEN * (all as f32).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_is_seen_on_a_dark_ground_only() {
        // Twenty dots by ten, the left half dark.
        let grey = (0..200).map(|dot| if dot % 20 < 10 { 40 } else { 255 }).collect();
        let picture = Picture { width: 20, height: 10, grey, resolution: 72.0 };
        assert!(!is_blank(&picture, [1.0, 1.0, 6.0, 8.0]));
        assert!(is_blank(&picture, [12.0, 1.0, 17.0, 8.0]));
        assert!(is_blank(&picture, [-50.0, 3.0, -40.0, 9.0]) && is_blank(&picture, [90.0, 3.0, 99.0, 1e30]));
    }
}
