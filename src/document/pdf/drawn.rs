//! What a page shows beside its text: rules, as in tables, and pictures. Their places only, on the page as it is shown.

use super::pdfium::Placement;
use pdfium_render::prelude::*;

/// Objects looked at on one page, and segments of one path: plots may have many thousands, of which the first will do.
const MAX_OBJECTS: usize = 20_000;
const MAX_SEGMENTS: usize = 64;
/// A line no wider than this is a rule, in points.
const RULE_WIDTH: f32 = 2.5;
/// Rules shorter than this are signs: fraction bars, underlines of a letter.
const RULE_LENGTH: f32 = 12.0;
/// Parts of a drawing no further apart than this belong together.
const NEAR: f32 = 4.0;
/// A picture is at least this wide and high, and covers less than this share of the page: else it is a background.
const MIN_PICTURE: f32 = 24.0;
const MAX_SHARE: f32 = 0.85;

/// Left, top, right, bottom in points from the page's upper left corner.
pub type Box = [f32; 4];

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawn {
    /// Straight lines along the page's edges.
    pub rules: Vec<Box>,
    /// Images, embedded figures, and drawings with curves or slanted lines.
    pub pictures: Vec<Box>,
}

pub fn read(page: &PdfPage, place: &Placement) -> Drawn {
    let mut drawing = Drawing::default();
    for object in page.objects().iter().take(MAX_OBJECTS) {
        match &object {
            PdfPageObject::Path(path) => drawing.add_path(path, place),
            PdfPageObject::Image(_) | PdfPageObject::XObjectForm(_) | PdfPageObject::Shading(_) => {
                drawing.pictures.extend(shown_bounds(&object, place));
            }
            PdfPageObject::Text(_) | PdfPageObject::Unsupported(_) => {}
        }
    }
    drawing.finish(place.shown_size())
}

fn shown_bounds<'a>(object: &impl PdfPageObjectCommon<'a>, place: &Placement) -> Option<Box> {
    let rect = object.bounds().ok()?.to_rect();
    shown((rect.left().value, rect.bottom().value), (rect.right().value, rect.top().value), place)
}

/// Two corners as a box on the shown page; none for numbers out of all bounds.
fn shown(a: (f32, f32), b: (f32, f32), place: &Placement) -> Option<Box> {
    let ((x0, y0), (x1, y1)) = (place.shown(a.0, a.1), place.shown(b.0, b.1));
    let corners = [x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)];
    corners.iter().all(|value| value.is_finite() && value.abs() < 1e5).then_some(corners)
}

#[derive(Default)]
struct Drawing {
    rules: Vec<Box>,
    pictures: Vec<Box>,
    /// Paths that are no straight rules.
    strokes: Vec<Box>,
}

impl Drawing {
    fn add_path(&mut self, path: &PdfPagePathObject, place: &Placement) {
        let Some(bounds) = shown_bounds(path, place) else { return };
        let [left, top, right, bottom] = bounds;
        if (right - left).min(bottom - top) <= RULE_WIDTH {
            self.rules.push(bounds);
            return;
        }
        match edges(path, place) {
            Some(edges) if path.is_stroked().unwrap_or(false) => self.rules.extend(edges),
            // A filled rectangle: the shade of a row, a bar.
            Some(_) => {}
            None => self.strokes.push(bounds),
        }
    }

    fn finish(mut self, (width, height): (f32, f32)) -> Drawn {
        self.pictures.extend(clusters(self.strokes));
        let inside =
            |[left, top, right, bottom]: Box| [left.max(0.0), top.max(0.0), right.min(width), bottom.min(height)];
        let is_picture = |[left, top, right, bottom]: &Box| {
            let (w, h) = (right - left, bottom - top);
            w >= MIN_PICTURE && h >= MIN_PICTURE && w * h < MAX_SHARE * width * height
        };
        let pictures = clusters(self.pictures.into_iter().map(inside).filter(is_picture).collect());
        let is_long = |[left, top, right, bottom]: &Box| (right - left).max(bottom - top) >= RULE_LENGTH;
        let rules = self.rules.into_iter().filter(is_long).collect();
        Drawn { rules, pictures: pictures.into_iter().filter(is_picture).collect() }
    }
}

/// The lines of a path all of which run along the page's edges; none if one of them does not.
fn edges(path: &PdfPagePathObject, place: &Placement) -> Option<Vec<Box>> {
    let segments = path.segments().transform(path.matrix().ok()?);
    if segments.len() as usize > MAX_SEGMENTS {
        return None;
    }
    let mut edges = Vec::new();
    let (mut start, mut at) = (None, None);
    for segment in segments.iter() {
        let point = (segment.x().value, segment.y().value);
        match segment.segment_type() {
            PdfPathSegmentType::MoveTo => start = Some(point),
            PdfPathSegmentType::LineTo => edges.push(edge(at?, point, place)?),
            PdfPathSegmentType::BezierTo | PdfPathSegmentType::Unknown => return None,
        }
        at = Some(point);
        if segment.is_close() {
            edges.push(edge(point, start?, place)?);
            at = start;
        }
    }
    Some(edges)
}

fn edge(from: (f32, f32), to: (f32, f32), place: &Placement) -> Option<Box> {
    let straight = (from.0 - to.0).abs().min((from.1 - to.1).abs()) <= 0.5;
    straight.then(|| shown(from, to, place)).flatten()
}

/// Boxes that touch or nearly touch become one, in one pass from top to bottom.
fn clusters(mut boxes: Vec<Box>) -> Vec<Box> {
    const OPEN: usize = 64;
    boxes.sort_by(|a, b| a[1].total_cmp(&b[1]));
    let mut done: Vec<Box> = Vec::new();
    let mut open: Vec<Box> = Vec::new();
    for mut next in boxes {
        // Joined to one, it may reach another.
        while let Some(index) = open.iter().position(|other| touch(other, &next)) {
            next = union(open.swap_remove(index), next);
        }
        open.push(next);
        let (below, above): (Vec<Box>, Vec<Box>) = open.drain(..).partition(|other| other[3] + NEAR >= next[1]);
        done.extend(above);
        open = below;
        if open.len() > OPEN {
            done.push(open.remove(0));
        }
    }
    done.extend(open);
    done
}

fn touch(a: &Box, b: &Box) -> bool {
    a[0] <= b[2] + NEAR && b[0] <= a[2] + NEAR && a[1] <= b[3] + NEAR && b[1] <= a[3] + NEAR
}

fn union(a: Box, b: Box) -> Box {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_drawing_become_one_picture_and_others_stay_apart() {
        let boxes = vec![
            [10.0, 10.0, 40.0, 40.0],
            [100.0, 12.0, 140.0, 50.0],
            [60.0, 20.0, 80.0, 60.0],
            [38.0, 30.0, 62.0, 35.0],
            [10.0, 200.0, 50.0, 240.0],
        ];
        let mut found = clusters(boxes);
        found.sort_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
        assert_eq!(found, [[10.0, 10.0, 80.0, 60.0], [100.0, 12.0, 140.0, 50.0], [10.0, 200.0, 50.0, 240.0]]);
    }

    #[test]
    fn short_rules_and_backgrounds_are_left_out() {
        let drawing = Drawing {
            rules: vec![[10.0, 10.0, 15.0, 10.5], [10.0, 20.0, 200.0, 20.5]],
            pictures: vec![[0.0, 0.0, 600.0, 800.0], [50.0, 50.0, 300.0, 200.0]],
            strokes: vec![],
        };
        let drawn = drawing.finish((600.0, 800.0));
        assert_eq!(drawn.rules, [[10.0, 20.0, 200.0, 20.5]]);
        assert_eq!(drawn.pictures, [[50.0, 50.0, 300.0, 200.0]]);
    }
}
