//! Pages as pictures: PDFium draws them, PNG holds them.

use super::pdfium::with_document;
use crate::document::Picture;
use crate::{Result, interrupt};
use pdfium_render::prelude::*;
use std::path::Path;

/// Pages higher than this many times their width are drawn smaller.
const MAX_HEIGHT: i32 = 4;
/// Channels that differ by less than this are taken for grey.
const GREY: u8 = 12;

/// All pages of the PDF in `bytes`, `width` pixels wide; `file` is only named in errors. A page that cannot be drawn is
/// left out. Colours are coarse, four bits a channel, so that a page of text takes some tens of kilobytes.
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

/// Red, green, blue and alpha of each pixel as PNG: 16 greys where the page has no colours, else 16 levels a channel.
fn encode(pixels: &[u8], width: u32, height: u32) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let coloured = pixels.chunks_exact(4).any(|pixel| {
        let (low, high) =
            pixel[..3].iter().fold((u8::MAX, 0), |(low, high), value| (low.min(*value), high.max(*value)));
        high - low > GREY
    });
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_compression(png::Compression::High);
    let data: Vec<u8> = if coloured {
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        pixels.chunks_exact(4).flat_map(|pixel| [coarse(pixel[0]), coarse(pixel[1]), coarse(pixel[2])]).collect()
    } else {
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Four);
        let rows = pixels.chunks_exact(4 * width as usize);
        rows.flat_map(|row| row.chunks(8).map(|pair| pair[0] & 0xF0 | pair.get(4).map_or(0, |second| second >> 4)))
            .collect()
    };
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(out)
}

/// The nearest below of 16 levels from black to white.
fn coarse(value: u8) -> u8 {
    (value >> 4) * 17
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(png: &[u8]) -> (png::ColorType, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a picture");
        let mut data = vec![0; reader.output_buffer_size().expect("a small picture")];
        let info = reader.next_frame(&mut data).expect("a whole picture");
        (info.color_type, data[..info.buffer_size()].to_vec())
    }

    #[test]
    fn pages_without_colours_take_half_a_byte_a_pixel() {
        let pixels = [[0, 0, 0, 255], [255, 255, 255, 255], [128, 130, 127, 255]].concat();
        assert_eq!(decoded(&encode(&pixels, 3, 1).expect("encodes")), (png::ColorType::Grayscale, vec![0x0F, 0x80]));
    }

    #[test]
    fn colours_stay() {
        let pixels = [[255, 0, 0, 255], [0, 128, 255, 255]].concat();
        let expected = vec![255, 0, 0, 0, 136, 255];
        assert_eq!(decoded(&encode(&pixels, 1, 2).expect("encodes")), (png::ColorType::Rgb, expected));
    }
}
