//! What models write around an answer, taken off: thoughts, a repeated heading, one fence around everything.

/// The answer alone. `titles` are the headings that the model may have repeated at its start.
pub(crate) fn clean(text: &str, titles: &[&str]) -> String {
    let without_thoughts = strip_thoughts(text);
    let mut answer = strip_fence(without_thoughts.trim());
    while let Some(rest) = strip_heading(answer, titles) {
        answer = rest;
    }
    answer.trim().to_string()
}

/// Where the last whole sentence or line of an answer that was cut ends, in bytes; all of it where that would take more than
/// half away.
pub(super) fn last_whole_sentence(text: &str) -> usize {
    let mut ends = text.char_indices().filter(|&(at, c)| match c {
        '。' | '！' | '？' | '\n' => true,
        '.' | '!' | '?' => text[at + 1..].starts_with([' ', '\n']),
        _ => false,
    });
    let end = ends.next_back().map_or(0, |(at, c)| at + c.len_utf8());
    let end = text[..end].trim_end().len();
    if 2 * end < text.len() { text.len() } else { end }
}

/// Without `<think>…</think>`. An unclosed thought goes to the end; one whose beginning was in the prompt starts at 0.
fn strip_thoughts(text: &str) -> String {
    const OPEN: &str = "<think>";
    const CLOSE: &str = "</think>";
    let mut kept = String::new();
    let mut rest = match (text.find(OPEN), text.find(CLOSE)) {
        (None, Some(close)) => &text[close + CLOSE.len()..],
        (Some(open), Some(close)) if close < open => &text[close + CLOSE.len()..],
        _ => text,
    };
    while let Some(open) = rest.find(OPEN) {
        kept.push_str(&rest[..open]);
        let thought = &rest[open + OPEN.len()..];
        rest = thought.find(CLOSE).map_or("", |close| &thought[close + CLOSE.len()..]);
    }
    kept.push_str(rest);
    kept
}

/// The inside of a code fence that holds the whole answer, where it is marked as prose.
fn strip_fence(text: &str) -> &str {
    let inside = ["```markdown\n", "```md\n", "```text\n"].iter().find_map(|open| text.strip_prefix(open));
    match inside.and_then(|inside| inside.strip_suffix("```")) {
        Some(inside) if !inside.contains("```") => inside.trim(),
        _ => text,
    }
}

/// What follows a first line, or the beginning of one up to a colon, that is nothing but one of the titles.
fn strip_heading<'a>(text: &'a str, titles: &[&str]) -> Option<&'a str> {
    let text = text.trim_start();
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let is_title = |part: &str| titles.iter().any(|title| bare(part) == bare(title)) && !bare(part).is_empty();
    if is_title(line) && !rest.trim().is_empty() {
        return Some(rest);
    }
    let colon = line.find([':', '：'])?;
    let width = line[colon..].chars().next().map_or(0, char::len_utf8);
    let after = text[colon + width..].trim_start_matches('*');
    (is_title(&line[..colon]) && !after.trim().is_empty()).then_some(after)
}

/// A heading without marks, numbers and case.
pub(crate) fn bare(heading: &str) -> String {
    let is_mark = |c: char| {
        c.is_whitespace() || c.is_ascii_digit() || matches!(c, '#' | '*' | '_' | '.' | ')' | ':' | '：' | '【' | '】')
    };
    heading.trim_matches(is_mark).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_answers_end_with_a_sentence() {
        for (text, kept) in [
            ("It works well. It is fast. And the", "It works well. It is fast."),
            ("新しい手法を示す。評価も", "新しい手法を示す。"),
            ("- one point, told at length\n- two po", "- one point, told at length"),
            ("A 3.5-day run without any end", "A 3.5-day run without any end"),
        ] {
            assert_eq!(&text[..last_whole_sentence(text)], kept);
        }
    }

    #[test]
    fn thoughts_and_repeated_headings_go() {
        for (text, expected) in [
            ("  An answer.\n", "An answer."),
            ("<think>hm</think>\n\nAn answer.", "An answer."),
            ("hm</think>An answer.", "An answer."),
            ("An answer.<think>and now for", "An answer."),
            ("<think>never closed", ""),
            ("## 1. Problem\n\nAn answer.", "An answer."),
            ("**Problem:** An answer.", "An answer."),
            ("Problem: An answer.", "An answer."),
            ("## Problem\n**Problem**\nAn answer.", "An answer."),
            ("Problem solving is hard: very.", "Problem solving is hard: very."),
            ("```markdown\n- One\n```", "- One"),
            ("```python\nx = 1\n```", "```python\nx = 1\n```"),
            ("Problem", "Problem"),
        ] {
            assert_eq!(clean(text, &["Problem"]), expected, "{text:?}");
        }
        assert_eq!(clean("【課題】\n答えです。", &["課題"]), "答えです。");
        assert_eq!(clean("課題：答えです。", &["課題"]), "答えです。");
    }
}
