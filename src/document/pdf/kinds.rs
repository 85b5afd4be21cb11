//! What a paragraph's own lines say about its kind: heading, caption, item of a list, or running text.

use super::lines::{Line, Style};
use super::marks::{is_bullet, is_caption, is_heading_line, is_item, is_plain_caption};
use crate::document::BlockKind;

/// `lines`: of one paragraph, at least one; `body`: how the paper's main text is set.
pub fn kind(lines: &[Line], text: &str, body: Style) -> BlockKind {
    let first = &lines[0];
    if is_heading(lines, text, body) {
        return BlockKind::Heading { level: 0, number: None };
    }
    let stands_out = first.size < 0.97 * body.size || first.bold && !body.bold;
    if is_caption(text) || is_plain_caption(text) && stands_out {
        return BlockKind::Caption;
    }
    if is_bullet(text) || is_item(text) { BlockKind::ListItem } else { BlockKind::Paragraph }
}

fn is_heading(lines: &[Line], text: &str, body: Style) -> bool {
    let numbered = is_heading_line(&lines[0]);
    if numbered && lines.len() == 1 {
        return true;
    }
    let chars = text.chars().count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let bold = !body.bold && lines.iter().all(|line| line.bold) && lines[0].size > 0.93 * body.size;
    let large = lines.iter().all(|line| line.size > 1.12 * body.size);
    let capitals = numbered && !text.contains(char::is_lowercase);
    let short = lines.len() <= 3 && chars <= 160 && letters >= 2 && 2 * letters > chars;
    let plain = !is_bullet(text) && !is_caption(text) && !text.ends_with(['.', ',', ';', '．', '。', '，', '、']);
    short && (bold || large || capitals) && (numbered || plain && lines.iter().all(|line| line.cells == 1))
}
