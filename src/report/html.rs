//! The HTML form: one page with its style inside, without scripts and without anything to fetch. Answers are untrusted:
//! their raw HTML is shown as text, their images become words, and only http(s) links stay links.

use super::content::Section;
use super::words::Words;
use super::{Summary, markdown};
use crate::document::forms::escape;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, TextMergeStream, html};
use regex::Regex;
use std::fmt::Write;
use std::sync::LazyLock;

const STYLE: &str = include_str!("page.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn render(summary: &Summary) -> String {
    let words = summary.words();
    let title = escape(summary.title());
    let mut out = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"ronbun {}\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(&summary.template.language),
        escape(&summary.ronbun_version),
    );
    let sections = summary.sections();
    out.push_str(&header(summary, &title, &sections, words));
    out.push_str("<main>\n");
    sections.iter().zip(1..).for_each(|(section, number)| out.push_str(&answer(section, number, words)));
    out.push_str("</main>\n");
    out.push_str(&footer(summary, words));
    out.push_str("</body>\n</html>\n");
    out
}

fn header(summary: &Summary, title: &str, sections: &[Section], words: &Words) -> String {
    let paper = &summary.paper;
    let source = format!("{} · {}", escape(&paper.file), escape(&words.pages_and_tokens(paper.pages, paper.tokens)));
    let mut out = format!("<header>\n<p class=\"source\">{source}</p>\n<h1>{title}</h1>\n");
    if let Some(gist) = &summary.gist {
        let _ = writeln!(out, "<p class=\"gist\">{}</p>", inline(gist));
    }
    let titled: Vec<_> =
        sections.iter().zip(1..).filter_map(|(s, number)| s.title.map(|title| (title, number))).collect();
    if titled.len() > 1 {
        let _ = write!(out, "<nav aria-label=\"{}\">\n<ol>\n", words.contents);
        for (title, number) in titled {
            let _ = writeln!(out, "<li><a href=\"#answer-{number}\">{}</a></li>", escape(title));
        }
        out.push_str("</ol>\n</nav>\n");
    }
    out.push_str("</header>\n");
    out
}

fn answer(section: &Section, number: usize, words: &Words) -> String {
    let mut out = match section.title {
        Some(title) => format!(
            "<section id=\"answer-{number}\" aria-labelledby=\"title-{number}\">\n<h2 id=\"title-{number}\">{}</h2>\n",
            escape(title)
        ),
        None => format!("<section id=\"answer-{number}\">\n"),
    };
    let top = if section.title.is_some() { 3 } else { 2 };
    out.push_str(&from_markdown(&markdown::lower_headings(section.text, top)));
    if let Some((sentence, links)) = section.code {
        let _ = writeln!(out, "<div class=\"found\">\n<p>{sentence}</p>");
        let items = links.iter().map(|link| format!("<li>{} ({}{})</li>\n", anchor(&link.url), words.page, link.page));
        let items: String = items.collect();
        if !items.is_empty() {
            let _ = writeln!(out, "<ul>\n{items}</ul>");
        }
        out.push_str("</div>\n");
    }
    for evidence in &section.answer.evidence {
        let quote = escape(&evidence.quote);
        let _ = writeln!(out, "<blockquote><p>{quote}</p><p>{}{}</p></blockquote>", words.page, evidence.page);
    }
    if !section.answer.removed_links.is_empty() {
        let links: Vec<_> =
            section.answer.removed_links.iter().map(|link| format!("<code>{}</code>", escape(link))).collect();
        let _ = writeln!(out, "<p class=\"caution\">{} {}</p>", words.links_removed, links.join(" "));
    }
    for warning in &section.answer.warnings {
        let _ = writeln!(out, "<p class=\"caution\">{}</p>", escape(warning));
    }
    out.push_str("</section>\n");
    out
}

fn footer(summary: &Summary, words: &Words) -> String {
    let mut out = String::from("<footer>\n");
    let warnings = summary.warnings();
    if !warnings.is_empty() {
        let items: String = warnings.iter().map(|warning| format!("<li>{}</li>\n", escape(warning))).collect();
        let _ = write!(out, "<h2>{}</h2>\n<ul>\n{items}</ul>\n", words.warnings);
    }
    let _ = write!(out, "<h2>{}</h2>\n<dl>\n", words.how);
    for (label, value) in summary.facts() {
        let _ = writeln!(out, "<dt>{label}</dt><dd>{}</dd>", escape(&value));
    }
    out.push_str("</dl>\n</footer>\n");
    out
}

/// An answer's Markdown as safe HTML.
fn from_markdown(text: &str) -> String {
    let mut out = String::new();
    html::push_html(&mut out, safe_events(text).into_iter());
    out
}

/// A single line's Markdown, without the paragraph around it.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let events = safe_events(text).into_iter();
    html::push_html(
        &mut out,
        events.filter(|event| !matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph))),
    );
    out.trim().to_string()
}

/// The Markdown's events with raw HTML as text, images as their words, links held to http(s), bare addresses linked.
fn safe_events(text: &str) -> Vec<Event<'_>> {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let mut events = Vec::new();
    let mut open_links = Vec::new();
    let mut in_code = false;
    for event in TextMergeStream::new(parser) {
        match event {
            Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
            Event::Start(Tag::HtmlBlock | Tag::Image { .. }) | Event::End(TagEnd::HtmlBlock | TagEnd::Image) => {}
            Event::Start(Tag::Link { dest_url, .. }) => {
                let safe = is_web(&dest_url);
                open_links.push(safe);
                if safe {
                    let tag = format!("<a href=\"{}\" rel=\"noopener noreferrer\">", escape(&dest_url));
                    events.push(Event::InlineHtml(CowStr::from(tag)));
                }
            }
            Event::End(TagEnd::Link) => {
                if open_links.pop() == Some(true) {
                    events.push(Event::InlineHtml(CowStr::from("</a>")));
                }
            }
            Event::Text(text) if open_links.is_empty() && !in_code => linked(&text, &mut events),
            other => {
                match other {
                    Event::Start(Tag::CodeBlock(_)) => in_code = true,
                    Event::End(TagEnd::CodeBlock) => in_code = false,
                    _ => {}
                }
                events.push(other);
            }
        }
    }
    events
}

/// Text with its bare web addresses as links.
fn linked(text: &str, events: &mut Vec<Event<'_>>) {
    static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"https?://[A-Za-z0-9\-._~:/?#@!$&*+,;=%]*[A-Za-z0-9/#=&_~]").expect("a constant pattern")
    });
    let mut done = 0;
    for found in ADDRESS.find_iter(text) {
        events.push(Event::Text(CowStr::from(text[done..found.start()].to_string())));
        events.push(Event::InlineHtml(CowStr::from(anchor(found.as_str()))));
        done = found.end();
    }
    events.push(Event::Text(CowStr::from(text[done..].to_string())));
}

/// A link whose text is its address; words alone where it leads elsewhere than to the web.
fn anchor(address: &str) -> String {
    let escaped = escape(address);
    if is_web(address) { format!("<a href=\"{escaped}\" rel=\"noopener noreferrer\">{escaped}</a>") } else { escaped }
}

fn is_web(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    lower.starts_with("https://") || lower.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_survives() {
        for text in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "![x](https://tracker.example/x.png)",
            "<javascript:alert(1)>",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](https://a.example/\"onmouseover=\"alert(1))",
            "<div>\n<iframe src=https://a.example></iframe>\n</div>",
            "```html\n<script>alert(1)</script>\n```",
        ] {
            let html = from_markdown(text);
            for active in [
                "<script",
                "<img",
                "<iframe",
                "<div",
                "javascript:alert(1)\"",
                "\"onmouse",
                "data:text/html;base64,PHNjcmlwdD4=\"",
                "src=\"",
            ] {
                assert!(!html.contains(active), "{text} gave {html}");
            }
        }
    }

    #[test]
    fn web_links_stay_and_bare_addresses_become_links() {
        let link = "<a href=\"https://a.example/x_y_z\" rel=\"noopener noreferrer\">";
        for text in
            ["See [it](https://a.example/x_y_z).", "See https://a.example/x_y_z.", "See <https://a.example/x_y_z>."]
        {
            assert!(from_markdown(text).contains(link), "{}", from_markdown(text));
        }
        assert!(!from_markdown("`https://a.example`").contains("<a "));
    }
}
