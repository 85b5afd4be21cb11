//! The Markdown form.

use super::Summary;
use super::content::Section;
use super::words::Words;
use regex::{Captures, Regex};
use std::fmt::Write;
use std::sync::LazyLock;

pub(super) fn render(summary: &Summary) -> String {
    let words = summary.words();
    let mut out = format!("# {}\n", one_line(summary.title()));
    if let Some(gist) = &summary.gist {
        // A gist with emphasis of its own would end the bold type.
        let _ = write!(out, "\n**{}**\n", without_html(&gist.replace("**", "")));
    }
    for section in summary.sections() {
        if let Some(title) = section.title {
            let _ = write!(out, "\n## {}\n", one_line(title));
        }
        let _ = write!(
            out,
            "\n{}\n",
            without_html(&lower_headings(section.text, if section.title.is_some() { 3 } else { 2 }))
        );
        out.push_str(&additions(&section, words));
    }
    let warnings = summary.warnings();
    if !warnings.is_empty() {
        let _ = write!(out, "\n## {}\n\n", words.warnings);
        warnings.iter().for_each(|warning| out.push_str(&format!("- {warning}\n")));
    }
    out.push_str("\n---\n\n");
    for (label, value) in summary.facts() {
        let _ = writeln!(out, "- {label}: {value}");
    }
    out
}

/// What ronbun itself says about an answer: links, evidence, warnings.
fn additions(section: &Section, words: &Words) -> String {
    let mut out = String::new();
    if let Some((sentence, links)) = section.code {
        let _ = write!(out, "\n{sentence}\n");
        if !links.is_empty() {
            out.push('\n');
        }
        links.iter().for_each(|link| out.push_str(&format!("- <{}> ({}{})\n", link.url, words.page, link.page)));
    }
    if !section.answer.evidence.is_empty() {
        let _ = write!(out, "\n{}:\n\n", words.evidence);
        for evidence in &section.answer.evidence {
            let _ = writeln!(out, "- {}{}: “{}”", words.page, evidence.page, one_line(&evidence.quote));
        }
    }
    if !section.answer.removed_links.is_empty() {
        let links: Vec<_> = section.answer.removed_links.iter().map(|link| format!("`{link}`")).collect();
        let _ = write!(out, "\n> {} {}\n", words.links_removed, links.join(" "));
    }
    for warning in &section.answer.warnings {
        let _ = write!(out, "\n> ⚠ {warning}\n");
    }
    out
}

/// The answer's own headings moved below the report's, so that the highest is of level `top`.
pub(super) fn lower_headings(text: &str, top: usize) -> String {
    let level = |line: &str| {
        let marks = line.bytes().take_while(|&byte| byte == b'#').count();
        ((1..=6).contains(&marks) && line[marks..].starts_with(' ')).then_some(marks)
    };
    let mut in_fence = false;
    let lines: Vec<(&str, Option<usize>)> = text
        .lines()
        .map(|line| {
            in_fence ^= line.trim_start().starts_with("```");
            (line, if in_fence { None } else { level(line) })
        })
        .collect();
    let highest = lines.iter().filter_map(|(_, marks)| *marks).min().unwrap_or(top);
    let shift = top.saturating_sub(highest);
    let lowered = lines.iter().map(|(line, marks)| match marks {
        Some(marks) => format!("{}{}", "#".repeat((marks + shift).min(6)), &line[*marks..]),
        None => line.to_string(),
    });
    lowered.collect::<Vec<_>>().join("\n")
}

/// Answers are untrusted: what would be raw HTML is escaped, but for code and addresses in angle brackets.
fn without_html(text: &str) -> String {
    static TAG: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?s)```.*?(?:```|\z)|`[^`\n]*`|<https?://[^\s<>]*>|<[A-Za-z/!?]").expect("a constant pattern")
    });
    let escaped = TAG.replace_all(text, |found: &Captures| match found[0].len() {
        2 if found[0].starts_with('<') => format!("\\{}", &found[0]),
        _ => found[0].to_string(),
    });
    escaped.into_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{lower_headings, without_html};

    #[test]
    fn raw_html_is_escaped() {
        for (text, expected) in [
            ("a <script>x</script>", "a \\<script>x\\</script>"),
            ("`<b>` and 1 < 2", "`<b>` and 1 < 2"),
            ("```\n<b>\n```\n<b>", "```\n<b>\n```\n\\<b>"),
            ("<https://a.example>", "<https://a.example>"),
            ("<!-- x -->", "\\<!-- x -->"),
        ] {
            assert_eq!(without_html(text), expected);
        }
    }

    #[test]
    fn headings_go_below_the_reports_own() {
        assert_eq!(lower_headings("# A\n\n## B\ntext #1", 3), "### A\n\n#### B\ntext #1");
        assert_eq!(lower_headings("#### A", 3), "#### A");
        assert_eq!(lower_headings("## A\n```\n# comment\n```\n", 3), "### A\n```\n# comment\n```");
    }
}
