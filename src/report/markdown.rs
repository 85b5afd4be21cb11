//! The Markdown form.

use super::Summary;
use super::content::Section;
use super::words::Words;
use std::fmt::Write;

pub(super) fn render(summary: &Summary) -> String {
    let words = summary.words();
    let mut out = format!("# {}\n", one_line(summary.title()));
    if let Some(gist) = &summary.gist {
        // A gist with emphasis of its own would end the bold type.
        let _ = write!(out, "\n**{}**\n", gist.replace("**", ""));
    }
    for section in summary.sections() {
        if let Some(title) = section.title {
            let _ = write!(out, "\n## {}\n", one_line(title));
        }
        let _ = write!(out, "\n{}\n", lower_headings(section.text, if section.title.is_some() { 3 } else { 2 }));
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
    let highest = text.lines().filter_map(level).min().unwrap_or(top);
    let shift = top.saturating_sub(highest);
    let lowered = text.lines().map(|line| {
        in_fence ^= line.trim_start().starts_with("```");
        match level(line) {
            Some(marks) if !in_fence => format!("{}{}", "#".repeat((marks + shift).min(6)), &line[marks..]),
            _ => line.to_string(),
        }
    });
    lowered.collect::<Vec<_>>().join("\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::lower_headings;

    #[test]
    fn headings_go_below_the_reports_own() {
        assert_eq!(lower_headings("# A\n\n## B\ntext #1", 3), "### A\n\n#### B\ntext #1");
        assert_eq!(lower_headings("#### A", 3), "#### A");
        assert_eq!(lower_headings("## A\n```\n# comment\n```", 3), "#### A\n```\n# comment\n```");
    }
}
