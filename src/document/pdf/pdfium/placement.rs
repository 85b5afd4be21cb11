//! Where a character stands on the page as it is shown.

use super::{Flow, Glyph};
use pdfium_render::prelude::*;

/// How a page's own coordinates (upwards, maybe rotated, from anywhere) become the shown page's.
pub struct Placement {
    left: f32,
    bottom: f32,
    width: f32,
    height: f32,
    /// Clockwise quarter turns.
    turns: u8,
}

impl Placement {
    pub fn of(page: &PdfPage) -> Placement {
        let turns: u8 = match page.rotation() {
            Ok(PdfPageRenderRotation::Degrees90) => 1,
            Ok(PdfPageRenderRotation::Degrees180) => 2,
            Ok(PdfPageRenderRotation::Degrees270) => 3,
            _ => 0,
        };
        let (shown_width, shown_height) = (page.width().value, page.height().value);
        let (width, height) =
            if turns.is_multiple_of(2) { (shown_width, shown_height) } else { (shown_height, shown_width) };
        let boundaries = page.boundaries();
        let bounds = boundaries.crop().or_else(|_| boundaries.media()).map(|boundary| boundary.bounds);
        let (left, bottom) = bounds.map_or((0.0, 0.0), |bounds| (bounds.left().value, bounds.bottom().value));
        Placement { left, bottom, width, height, turns }
    }

    pub fn shown_size(&self) -> (f32, f32) {
        if self.turns.is_multiple_of(2) { (self.width, self.height) } else { (self.height, self.width) }
    }

    pub fn shown(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x - self.left, y - self.bottom);
        match self.turns {
            0 => (x, self.height - y),
            1 => (y, x),
            2 => (self.width - x, y),
            _ => (self.height - y, self.width - x),
        }
    }

    /// Left, top, right, bottom on the page as it is shown.
    pub fn bbox(&self, rect: &PdfRect) -> [f32; 4] {
        let (x0, y0) = self.shown(rect.left().value, rect.bottom().value);
        let (x1, y1) = self.shown(rect.right().value, rect.top().value);
        [x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)]
    }

    /// The character's geometry, and nothing else of it; that of `previous` where PDFium knows
    /// none, so that its text is not lost.
    pub fn glyph(&self, char: &PdfPageTextChar, previous: Option<&Glyph>) -> Glyph {
        let size = char.scaled_font_size().value.abs();
        let rect = char.loose_bounds().or_else(|_| char.tight_bounds()).ok();
        let origin = char.origin().ok().map(|(x, y)| self.shown(x.value, y.value));
        let corners = rect.map(|rect| self.bbox(&rect));
        let known = corners.filter(|corners| corners.iter().all(|value| value.is_finite() && value.abs() < 1e6));
        let (bbox, origin) = match (known, origin, previous) {
            (Some(bbox), Some((x, y)), _) if x.is_finite() && y.is_finite() => (bbox, (x, y)),
            (Some(bbox), _, _) => (bbox, (bbox[0], bbox[3])),
            (None, _, Some(previous)) => (previous.bbox, previous.origin),
            (None, _, None) => ([0.0; 4], (0.0, 0.0)),
        };
        let size =
            if size.is_finite() && size > 0.1 { size.min(1000.0) } else { (bbox[3] - bbox[1]).clamp(1.0, 1000.0) };
        let flow = char.angle_degrees().map_or(Flow::Right, |angle| self.flow(angle));
        Glyph { bbox, origin, size, flow, ..Glyph::default() }
    }

    /// `angle`: clockwise degrees on the unrotated page.
    fn flow(&self, angle: f32) -> Flow {
        let shown = (angle + 90.0 * f32::from(self.turns)).rem_euclid(360.0);
        let quarter = (shown / 90.0).round();
        if (shown - quarter * 90.0).abs() > 8.0 {
            return Flow::Skewed;
        }
        match quarter as i32 % 4 {
            0 => Flow::Right,
            1 => Flow::Down,
            2 => Flow::Left,
            _ => Flow::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(turns: u8) -> Placement {
        Placement { left: 10.0, bottom: 20.0, width: 600.0, height: 800.0, turns }
    }

    #[test]
    fn page_corners_are_shown_where_the_rotation_puts_them() {
        let upper_left = (10.0, 820.0);
        for (turns, expected) in [(0, (0.0, 0.0)), (1, (800.0, 0.0)), (2, (600.0, 800.0)), (3, (0.0, 600.0))] {
            assert_eq!(placement(turns).shown(upper_left.0, upper_left.1), expected, "{turns} turns");
        }
    }

    #[test]
    fn text_rotated_against_the_page_reads_to_the_right() {
        assert_eq!(placement(1).flow(270.0), Flow::Right);
        assert_eq!(placement(0).flow(90.0), Flow::Down);
        assert_eq!(placement(0).flow(359.0), Flow::Right);
        assert_eq!(placement(0).flow(270.0), Flow::Up);
        assert_eq!(placement(0).flow(45.0), Flow::Skewed);
    }
}
