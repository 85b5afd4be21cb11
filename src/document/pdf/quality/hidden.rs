//! Text that a page does not show: words to a machine that no reader sees. It is taken out and told.

use super::super::pdfium::{Glyph, RawPage};

/// Takes out of a page what it does not show, and returns its lines. Invisible text over a picture of it stays.
pub fn take_out(page: &mut RawPage) -> Vec<String> {
    let mut hidden = Vec::new();
    let (mut space, mut broken) = (false, false);
    page.glyphs.retain_mut(|glyph| {
        if glyph.unseen {
            space |= glyph.space_before;
            broken |= glyph.break_before;
            hidden.push(glyph.clone());
            return false;
        }
        glyph.space_before |= std::mem::take(&mut space);
        glyph.break_before |= std::mem::take(&mut broken);
        true
    });
    lines(&hidden)
}

fn lines(glyphs: &[Glyph]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut last: Option<&Glyph> = None;
    for glyph in glyphs {
        let same_row = last.is_some_and(|last| (last.origin.1 - glyph.origin.1).abs() < 0.5 * glyph.size.max(1.0));
        match lines.last_mut() {
            Some(line) if same_row && !glyph.break_before => {
                line.extend(glyph.space_before.then_some(' '));
                line.push(glyph.ch);
            }
            _ => lines.push(glyph.ch.to_string()),
        }
        last = Some(glyph);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::glyphs;
    use super::*;

    #[test]
    fn words_that_the_page_does_not_show_are_taken_out_and_a_layer_over_a_picture_stays() {
        let mut page = RawPage { glyphs: glyphs("seen praise this paper too"), ..RawPage::default() };
        for (index, glyph) in page.glyphs.iter_mut().enumerate() {
            glyph.origin.1 = 0.0;
            glyph.invisible = (4..22).contains(&index);
            glyph.unseen = (4..19).contains(&index);
        }
        assert_eq!(take_out(&mut page), ["praise this paper"]);
        assert_eq!(super::super::text_of(&page.glyphs), "seen too");
    }
}
