//! A page as a picture.

use super::library::{LOADED, damaged, load};
use super::open;
use crate::Result;
use crate::document::ocr::Picture;
use pdfium_render::prelude::*;
use std::path::Path;
use std::sync::PoisonError;

/// Dots of the largest picture; larger pages are drawn coarser.
const MOST_DOTS: f32 = 20e6;

/// Draws `page`, from 1, with so many dots to an inch, or as many as make a picture of bearable size.
pub fn picture(
    library: &Path,
    file: &Path,
    bytes: &[u8],
    password: Option<&str>,
    page: u32,
    resolution: f32,
) -> Result<Picture> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let document = open(load(library, &mut loaded)?, file, bytes, password)?;
    let failed = |_| damaged(file, &format!("page {page} cannot be drawn"));
    let index = i32::try_from(page).unwrap_or(i32::MAX).saturating_sub(1);
    let page = document.pages().get(index).map_err(failed)?;
    draw(&page, resolution).map_err(failed)
}

/// Draws a page in grey.
pub fn draw(page: &PdfPage, resolution: f32) -> std::result::Result<Picture, PdfiumError> {
    let dots = page.width().value * page.height().value * (resolution / 72.0).powi(2);
    let resolution = if dots > MOST_DOTS { resolution * (MOST_DOTS / dots).sqrt() } else { resolution };
    let config = PdfRenderConfig::new().scale_page_by_factor(resolution / 72.0).use_grayscale_rendering(true);
    let bitmap = page.render_with_config(&config)?;
    let (width, height) = (bitmap.width().max(0) as usize, bitmap.height().max(0) as usize);
    // Red, green and blue are the same.
    let grey = bitmap.as_rgba_bytes().chunks_exact(4).map(|dot| dot[0]).collect();
    Ok(Picture { width, height, grey, resolution })
}
