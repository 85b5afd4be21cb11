//! HTML: each page's picture with what was understood as boxes over it, and the text beside it. One file, without scripts
//! and without anything to fetch; all text of the paper is escaped.

use crate::document::{Block, BlockKind, Document, Page, Part, Picture, TextQuality};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

const STYLE: &str = include_str!("overlay.css");
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Names of the kinds, in the order of the legend. They are classes of the style too.
const KINDS: [&str; 12] = [
    "title",
    "authors",
    "heading",
    "paragraph",
    "list item",
    "caption",
    "table",
    "formula",
    "code",
    "figure",
    "footnote",
    "reference",
];

/// The document over `pictures` of its pages; pages without one show their boxes alone.
pub fn html(document: &Document, pictures: &[Picture]) -> String {
    let title = escape(document.title.as_deref().unwrap_or(&document.file));
    let mut out = format!(
        "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
    );
    let _ = writeln!(
        out,
        "<p>{} · {} pages · {} blocks</p>",
        escape(&document.file),
        document.pages.len(),
        document.blocks.len()
    );
    out.push_str(&legend(document));
    if !document.warnings.is_empty() {
        let items: String = document.warnings.iter().map(|warning| format!("<li>{}</li>\n", escape(warning))).collect();
        let _ = writeln!(out, "<ul class=\"warnings\">\n{items}</ul>");
    }
    out.push_str("</header>\n<main>\n");
    for page in &document.pages {
        let picture = pictures.iter().find(|picture| picture.page == page.number);
        out.push_str(&section(document, page, picture));
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn legend(document: &Document) -> String {
    let entry = |name: &&str| {
        let count = document.blocks.iter().filter(|block| kind(block) == *name).count();
        (count > 0).then(|| format!("<li class=\"{}\">{name} {count}</li>\n", class(name)))
    };
    format!("<ul class=\"legend\">\n{}</ul>\n", KINDS.iter().filter_map(entry).collect::<String>())
}

fn section(document: &Document, page: &Page, picture: Option<&Picture>) -> String {
    let mut out = format!("<section>\n<h2>Page {}</h2>\n", page.number);
    let quality = match page.text_quality {
        TextQuality::Good => None,
        TextQuality::Repaired => Some("repaired"),
        TextQuality::Refused => Some("refused"),
    };
    if let Some(quality) = quality {
        let reason = page.reason.as_deref().map_or(String::new(), |reason| format!(": {}", escape(reason)));
        let _ = writeln!(out, "<p class=\"quality\">Text {quality}{reason}</p>");
    }
    out.push_str("<div class=\"pair\">\n");
    if page.width > 0.0 && page.height > 0.0 {
        out.push_str(&sheet(document, page, picture));
    }
    out.push_str("<div class=\"text\">\n");
    for (index, block) in document.blocks.iter().enumerate().filter(|(_, block)| block.page() == page.number) {
        out.push_str(&article(index, block));
    }
    if !page.dropped.is_empty() {
        let items: String = page.dropped.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
        let _ = writeln!(out, "<p class=\"dropped\">Left out:</p>\n<ul class=\"dropped\">\n{items}</ul>");
    }
    out.push_str("</div>\n</div>\n</section>\n");
    out
}

/// The page's picture with a box for each place of each block.
fn sheet(document: &Document, page: &Page, picture: Option<&Picture>) -> String {
    let mut out = format!("<div class=\"sheet\" style=\"aspect-ratio:{}/{}\">\n", page.width, page.height);
    if let Some(picture) = picture {
        let data = STANDARD.encode(&picture.png);
        let _ = writeln!(out, "<img alt=\"Page {}\" src=\"data:image/png;base64,{data}\">", page.number);
    }
    for (index, block) in document.blocks.iter().enumerate() {
        for span in block.spans.iter().filter(|span| span.page == page.number) {
            let [left, top, right, bottom] = span.bbox;
            let (x, y) = (percent(left, page.width), percent(top, page.height));
            let (width, height) = (percent(right - left, page.width), percent(bottom - top, page.height));
            let (name, number) = (kind(block), index + 1);
            let _ = writeln!(
                out,
                "<a class=\"box {}\" href=\"#block-{number}\" title=\"{number} {name}\" \
                 style=\"left:{x}%;top:{y}%;width:{width}%;height:{height}%\"><span>{number}</span></a>",
                class(name)
            );
        }
    }
    out.push_str("</div>\n");
    out
}

/// Of a page's width or height, within the page.
fn percent(part: f32, whole: f32) -> f32 {
    let percent = (part / whole * 10_000.0).round() / 100.0;
    if percent.is_finite() { percent.clamp(0.0, 100.0) } else { 0.0 }
}

fn article(index: usize, block: &Block) -> String {
    let (name, number) = (kind(block), index + 1);
    let detail = match &block.kind {
        BlockKind::Heading { level, number } => {
            format!(
                " · level {level}{}",
                number.as_ref().map_or(String::new(), |number| format!(" · {}", escape(number)))
            )
        }
        BlockKind::Table { rows } => format!(" · {} × {}", rows.len(), rows.iter().map(Vec::len).max().unwrap_or(0)),
        _ => String::new(),
    };
    let part = match block.part {
        Part::Front => "front",
        Part::Body => "body",
        Part::References => "references",
        Part::Appendix => "appendix",
    };
    let content = match &block.kind {
        BlockKind::Table { rows } => table(rows),
        BlockKind::Formula | BlockKind::Code | BlockKind::Figure => format!("<pre>{}</pre>", escape(&block.text)),
        _ => format!("<p>{}</p>", escape(&block.text).replace('\n', "<br>")),
    };
    format!(
        "<article id=\"block-{number}\" class=\"{}\">\n<h3>{number} · {name}{detail} · {part}</h3>\n{content}\n</article>\n",
        class(name)
    )
}

fn table(rows: &[Vec<String>]) -> String {
    let row = |row: &Vec<String>| {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    format!("<table>\n{}</table>", rows.iter().map(row).collect::<String>())
}

fn kind(block: &Block) -> &'static str {
    match block.kind {
        BlockKind::Title => "title",
        BlockKind::Authors => "authors",
        BlockKind::Heading { .. } => "heading",
        BlockKind::Paragraph => "paragraph",
        BlockKind::ListItem => "list item",
        BlockKind::Caption => "caption",
        BlockKind::Table { .. } => "table",
        BlockKind::Formula => "formula",
        BlockKind::Code => "code",
        BlockKind::Figure => "figure",
        BlockKind::Footnote => "footnote",
        BlockKind::Reference => "reference",
    }
}

fn class(kind: &str) -> String {
    format!("k-{}", kind.replace(' ', "-"))
}

/// Text as it may stand in HTML, between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn boxes_lie_over_the_picture_where_their_blocks_stand() {
        let pictures = [Picture { page: 1, png: vec![1, 2, 3] }];
        let html = html(&sample(), &pictures);
        assert!(html.contains("src=\"data:image/png;base64,AQID\""), "{html}");
        let bounds = "style=\"left:10%;top:10%;width:40%;height:10%\"";
        assert!(html.contains(&format!("href=\"#block-8\" title=\"8 table\" {bounds}><span>8</span>")), "{html}");
        assert!(html.contains("<h3>8 · table · 2 × 2 · body</h3>") && html.contains("<td>a|b</td>"), "{html}");
        assert!(html.contains("<li>7</li>"), "what was left out is listed");
    }

    #[test]
    fn nothing_of_the_paper_is_read_as_html() {
        let html = html(&sample(), &[]);
        assert!(html.contains("&lt;b&gt;no tag&lt;/b&gt;") && html.contains("<title>On &lt;Forms&gt;</title>"));
        assert!(html.contains("a&amp;b.pdf") && html.contains("<td>&lt;2&gt;</td>"));
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("http://"));
    }

    #[test]
    fn each_kind_has_its_colour() {
        for kind in KINDS {
            assert!(STYLE.contains(&format!(".{}", class(kind))), "{kind}");
        }
    }
}
