//! What a page shows besides text: how much of it images cover, and how many drawn paths have the size of letters; and text
//! that PDFium leaves out.

use super::placement::Placement;
use pdfium_render::prelude::*;

/// Cells on each side of the grid that covered area is counted on.
const GRID: usize = 40;
/// A page of more objects than this is a drawing; looking at the rest tells nothing new.
const MOST_OBJECTS: usize = 50_000;
/// PDFium leaves out runs of text that are narrower, in points.
const LEAST_WIDTH: f32 = 0.01;
/// Forms within forms are followed this deep.
const MOST_LEVELS: usize = 4;

/// What a page shows besides text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pictures {
    pub images: usize,
    /// Share of the page under images, from 0 to 1.
    pub cover: f32,
    /// Filled paths of the size of letters.
    pub outlines: usize,
    /// Runs of text whose font is not in the file.
    pub foreign: usize,
    /// Those of them that have no width, which PDFium leaves out: vertical text whose letters no font of this machine has.
    /// Runs of spaces have none either.
    pub lost: usize,
}

pub fn look_at(page: &PdfPage, place: &Placement) -> Pictures {
    let mut survey =
        Survey { place, pictures: Pictures::default(), covered: vec![false; GRID * GRID], left: MOST_OBJECTS };
    for object in page.objects().iter() {
        survey.object(&object, None, 0);
    }
    let covered = survey.covered.iter().filter(|cell| **cell).count();
    Pictures { cover: covered as f32 / survey.covered.len() as f32, ..survey.pictures }
}

struct Survey<'a> {
    place: &'a Placement,
    pictures: Pictures,
    covered: Vec<bool>,
    /// Objects that may still be looked at.
    left: usize,
}

impl Survey<'_> {
    /// `form`: where the outermost form that holds the object stands; what is inside has coordinates of its own.
    fn object(&mut self, object: &PdfPageObject, form: Option<[f32; 4]>, level: usize) {
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        match object {
            PdfPageObject::Image(_) => {
                self.pictures.images += 1;
                if let Some(bbox) = form.or_else(|| self.bbox(object)) {
                    self.cover(bbox);
                }
            }
            PdfPageObject::Path(path) => {
                let filled = path.fill_mode().is_ok_and(|mode| mode != PdfPathFillMode::None);
                let letter = |[left, top, right, bottom]: [f32; 4]| {
                    (1.0..40.0).contains(&(bottom - top)) && (0.5..60.0).contains(&(right - left))
                };
                self.pictures.outlines += usize::from(filled && self.bbox(object).is_some_and(letter));
            }
            PdfPageObject::Text(text) if text.font().is_embedded().is_ok_and(|inside| !inside) => {
                let lost = object.bounds().is_ok_and(|bounds| bounds.to_rect().width().value < LEAST_WIDTH);
                self.pictures.foreign += 1;
                self.pictures.lost += usize::from(lost);
            }
            PdfPageObject::XObjectForm(inner) if level < MOST_LEVELS => {
                let form = form.or_else(|| self.bbox(object));
                inner.iter().for_each(|object| self.object(&object, form, level + 1));
            }
            _ => {}
        }
    }

    /// Left, top, right, bottom on the page as it is shown.
    fn bbox(&self, object: &PdfPageObject) -> Option<[f32; 4]> {
        let rect = object.bounds().ok()?.to_rect();
        Some(self.place.bbox(&rect)).filter(|bbox| bbox.iter().all(|value| value.is_finite()))
    }

    /// Marks the cells whose middle is under `bbox`.
    fn cover(&mut self, [left, top, right, bottom]: [f32; 4]) {
        let (width, height) = self.place.shown_size();
        let middle = |index: usize, size: f32| (index as f32 + 0.5) * size / GRID as f32;
        for row in (0..GRID).filter(|row| (top..=bottom).contains(&middle(*row, height))) {
            for column in (0..GRID).filter(|column| (left..=right).contains(&middle(*column, width))) {
                self.covered[row * GRID + column] = true;
            }
        }
    }
}
