//! PDFium's characters of a page → [`Glyph`]s.

use super::placement::Placement;
use super::{Glyph, UNMAPPED};
use crate::document::pdf::faces::{Face, tex_sign};
use pdfium_render::prelude::*;
use std::collections::HashMap;

/// The fonts of a document by name, each with what its name tells.
#[derive(Default)]
pub struct Fonts {
    numbers: HashMap<String, u16>,
    pub names: Vec<String>,
    looks: Vec<(bool, Face)>,
}

impl Fonts {
    /// The font's number, whether it is bold, and its face.
    fn look_up(&mut self, name: String) -> (u16, bool, Face) {
        let next = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        let number = *self.numbers.entry(name).or_insert_with_key(|name| {
            self.looks.push((is_bold(name), Face::of(name)));
            self.names.push(name.clone());
            next
        });
        let (bold, face) = self.looks.get(usize::from(number)).copied().unwrap_or_default();
        (number, bold, face)
    }
}

pub fn read_glyphs(text: &PdfPageText, place: &Placement, fonts: &mut Fonts) -> Vec<Glyph> {
    let mut glyphs: Vec<Glyph> = Vec::new();
    let (mut space_before, mut break_before) = (false, false);
    // PDFium gives a character past U+FFFF (mathematical italics, say) as the two halves of its surrogate pair.
    let mut high_half = None;
    for char in text.chars().iter() {
        let value = char.unicode_value();
        let ch = match (value, high_half.take()) {
            (0xD800..0xDC00, _) => {
                high_half = Some(value);
                continue;
            }
            (0xDC00..0xE000, Some(high)) => whole_character(high, value),
            (0, _) => UNMAPPED,
            (0xFFFE | 2, _) if char.is_hyphen().unwrap_or(false) => '-',
            (0xFFFE | 0xFFFF, _) => UNMAPPED,
            (value, _) => char::from_u32(value).unwrap_or(UNMAPPED),
        };
        if matches!(ch, '\r' | '\n') {
            break_before = true;
            continue;
        }
        if ch.is_whitespace() {
            space_before = true;
            continue;
        }
        let (font, bold, face) = fonts.look_up(char.font_name());
        let ch = if face == Face::Math { tex_sign(&char.font_name(), ch).unwrap_or(ch) } else { ch };
        let invisible = char.text_object().is_ok_and(|object| !object.is_visible());
        let blank = ch.is_control() && !has_ink(&char);
        let placed = place.glyph(&char, glyphs.last());
        let pale = char.fill_color().is_ok_and(|colour| is_pale(&colour));
        glyphs.push(Glyph { ch, font, bold, face, invisible, pale, blank, space_before, break_before, ..placed });
        (space_before, break_before) = (false, false);
    }
    glyphs
}

fn has_ink(char: &PdfPageTextChar) -> bool {
    char.tight_bounds().is_ok_and(|ink| ink.width().value > 0.0 && ink.height().value > 0.0)
}

/// White, or so clear that nothing is seen of it.
fn is_pale(colour: &PdfColor) -> bool {
    let white = [colour.red(), colour.green(), colour.blue()].iter().all(|level| *level >= 0xF0);
    white || colour.alpha() <= 0x10
}

/// The character of a surrogate pair, as UTF-16 defines it.
fn whole_character(high: u32, low: u32) -> char {
    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or(UNMAPPED)
}

/// Whether a font's name says that it is bold: "NimbusRomNo9L-Medi", "CMBX12", "Times-Bold", "HaranoAjiGothic-Bold".
fn is_bold(name: &str) -> bool {
    let lower = name.to_lowercase();
    let bold = ["bold", "medi", "black", "heavy", "cmbx", "sfbx", "cmssbx", "lmbx", "-bd"];
    // Japanese sets its headings in Gothic, whatever the weight.
    let gothic =
        lower.contains("gothic") && !["century", "franklin", "letter", "news"].iter().any(|part| lower.contains(part));
    gothic || (bold.iter().any(|part| lower.contains(part)) && !lower.contains("medium"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogate_pairs_are_one_character() {
        assert_eq!(whole_character(0xD835, 0xDC44), '𝑄');
        assert_eq!(whole_character(0xDBFF, 0xDFFF), '\u{10FFFF}');
    }

    #[test]
    fn bold_fonts_by_name() {
        for (name, bold) in [
            ("ABCDEF+NimbusRomNo9L-Medi", true),
            ("CMBX12", true),
            ("HaranoAjiGothic-Medium", true),
            ("CMR10", false),
            ("Inter-Medium", false),
        ] {
            assert_eq!(is_bold(name), bold, "{name}");
        }
    }
}
