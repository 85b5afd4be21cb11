//! Pages as pictures: PDFium draws them, PNG holds them.

use super::pdfium::with_document;
use crate::document::Picture;
use crate::{Result, interrupt};
use pdfium_render::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// Pages higher than this many times their width are drawn smaller.
const MAX_HEIGHT: i32 = 4;

/// All pages of the PDF in `bytes`, `width` pixels wide; `file` is only named in errors. A page that cannot be drawn is
/// left out. Colours are coarse, so that a page of text takes some tens of kilobytes.
pub fn render(library: &Path, file: &Path, bytes: &[u8], password: Option<&str>, width: u16) -> Result<Vec<Picture>> {
    with_document(library, file, bytes, password, |document| {
        let mut pictures = Vec::new();
        for (number, index) in (1..).zip(document.pages().as_range()) {
            interrupt::check()?;
            let page = document.pages().get(index).ok();
            let png = page.and_then(|page| draw(&page, i32::from(width.max(1))));
            pictures.extend(png.map(|png| Picture { page: number, png }));
        }
        Ok(pictures)
    })
}

fn draw(page: &PdfPage, width: i32) -> Option<Vec<u8>> {
    let config = PdfRenderConfig::new().set_target_width(width).set_maximum_height(MAX_HEIGHT * width);
    let bitmap = page.render_with_config(&config).ok()?;
    let (width, height) = (bitmap.width() as u32, bitmap.height() as u32);
    let pixels = bitmap.as_rgba_bytes();
    if width == 0 || pixels.len() != (width * height * 4) as usize {
        return None;
    }
    encode(&pixels, width, height).ok()
}

/// Red, green, blue and alpha of each pixel as PNG with a palette: of 16 levels a channel if a page has few colours, as
/// text has, else of fewer.
fn encode(pixels: &[u8], width: u32, height: u32) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let (palette, data) = with_palette(pixels, [4, 4, 4]).unwrap_or_else(|| {
        // 256 colours at most, so that there is always a palette.
        with_palette(pixels, [3, 3, 2]).unwrap_or_default()
    });
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Indexed);
    let packed = palette.len() <= 3 * 16;
    encoder.set_depth(if packed { png::BitDepth::Four } else { png::BitDepth::Eight });
    encoder.set_palette(palette);
    let data = if packed { pairs(&data, width as usize) } else { data };
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(out)
}

/// The colours, each channel with so many bits, and the index of each pixel's; none for more than 256 of them.
fn with_palette(pixels: &[u8], bits: [u32; 3]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut palette: Vec<u8> = Vec::new();
    let mut known: HashMap<[u8; 3], u8> = HashMap::new();
    let mut data = Vec::with_capacity(pixels.len() / 4);
    for pixel in pixels.chunks_exact(4) {
        let colour = [0, 1, 2].map(|channel| coarse(pixel[channel], bits[channel]));
        let next = u8::try_from(known.len()).ok();
        let index = match known.get(&colour) {
            Some(index) => *index,
            None => {
                palette.extend(colour);
                known.insert(colour, next?);
                next?
            }
        };
        data.push(index);
    }
    Some((palette, data))
}

/// The level of so many bits at or below the value, spread from 0 to 255.
fn coarse(value: u8, bits: u32) -> u8 {
    let levels = (1_u32 << bits) - 1;
    ((u32::from(value) >> (8 - bits)) * 255 / levels) as u8
}

/// Two indices a byte, rows beginning with a byte of their own.
fn pairs(data: &[u8], width: usize) -> Vec<u8> {
    let pair = |pair: &[u8]| pair[0] << 4 | pair.get(1).copied().unwrap_or(0);
    data.chunks(width).flat_map(|row| row.chunks(2).map(pair)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The colours of a picture's pixels.
    fn decoded(png: &[u8]) -> Vec<[u8; 3]> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a picture");
        let mut data = vec![0; reader.output_buffer_size().expect("a small picture")];
        let info = reader.next_frame(&mut data).expect("a whole picture");
        data[..info.buffer_size()].chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }

    #[test]
    fn few_colours_keep_their_places() {
        let pixels =
            [[0, 0, 0, 255], [255, 255, 255, 255], [255, 0, 0, 255], [0, 0, 0, 255], [128, 130, 127, 255], [0; 4]];
        let expected = [[0; 3], [255; 3], [255, 0, 0], [0; 3], [136, 136, 119], [0; 3]];
        assert_eq!(decoded(&encode(&pixels.concat(), 3, 2).expect("encodes")), expected);
    }

    #[test]
    fn a_photograph_is_kept_with_fewer_colours() {
        let pixel = |index: u32| [(index * 7) as u8, (index / 3) as u8, (index % 251) as u8, 255];
        let pixels: Vec<[u8; 4]> = (0..4096).map(pixel).collect();
        let seen = decoded(&encode(&pixels.concat(), 64, 64).expect("encodes"));
        assert_eq!(seen.len(), 4096);
        let far = |(seen, pixel): (&[u8; 3], &[u8; 4])| (0..3).any(|at| seen[at].abs_diff(pixel[at]) > 64);
        assert!(!seen.iter().zip(&pixels).any(far));
    }
}
