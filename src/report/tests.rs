//! Every form of one made-up summary, and the committed schema.

use super::*;
use crate::document::{LinkKind, Portion, Share};

fn answer(id: &str, title: &str, text: &str) -> Answer {
    Answer {
        id: id.into(),
        title: title.into(),
        question: "?".into(),
        text: text.into(),
        tokens: 12,
        finish_reason: FinishReason::Stop,
        language: None,
        attempts: 1,
        links: vec![],
        removed_links: vec![],
        evidence: vec![],
        warnings: vec![],
    }
}

fn summary(language: &str) -> Summary {
    let code = Link { url: "https://github.com/org/code".into(), page: 3, bbox: None, kind: LinkKind::Code };
    Summary {
        schema_version: SCHEMA_VERSION,
        ronbun_version: "0.1.0".into(),
        created: "2026-01-02T03:04:05Z".into(),
        paper: Paper {
            file: "paper.pdf".into(),
            sha256: "00".into(),
            title: Some("A <Paper> & its title".into()),
            pages: 15,
            tokens: 12_017,
            links: vec![code.clone()],
            warnings: vec!["page 3 has no text".into()],
            left_out: LeftOut::default(),
        },
        model: ModelFacts {
            id: "qwen2.5-coder-1.5b".into(),
            files: vec![],
            architecture: "qwen2".into(),
            quantization: "Q4_K_M".into(),
            parameters: 1_543_714_304,
            context_length: 32_768,
            rope: "base 1000000".into(),
            extension: None,
            device: "cpu".into(),
            threads: 8,
        },
        template: TemplateFacts { id: "paper".into(), language: language.into(), ask: Ask::Each },
        sampling: Sampling::default(),
        gist: Some("A **short** gist.".into()),
        answers: vec![
            answer("gist", "In one sentence", "A **short** gist."),
            answer("problem", "Problem", "## Sub\nText with <b>html</b>."),
            Answer { text: String::new(), warnings: vec!["Nothing came.".into()], ..answer("limits", "Limits", "") },
            Answer {
                links: vec![code],
                removed_links: vec!["https://made.up/x".into()],
                evidence: vec![Evidence { page: 2, bbox: [0.0, 1.0, 2.0, 3.0], quote: "we release".into() }],
                ..answer("code", "Code", "- It is public.")
            },
        ],
        timings: Timings { total_seconds: 75.2, peak_memory_bytes: Some(2_100_000_000), ..Timings::default() },
    }
}

#[test]
fn the_markdown_has_all_parts_in_order() {
    let markdown = summary("en").render(Form::Markdown).unwrap();
    let parts = [
        "# A <Paper> & its title\n",
        "**A short gist.**\n",
        "## Problem\n\n### Sub\nText",
        "## Limits\n\nThe model gave no answer.\n\n> ⚠ Nothing came.",
        "## Code\n\n- It is public.\n\nLinks to code that ronbun found in the paper itself:\n\n- <https://github.com/org/code> (p. 3)",
        "- p. 2: “we release”",
        "they were removed: `https://made.up/x`",
        "## Warnings\n\n- page 3 has no text\n",
        "- Paper: paper.pdf (15 pages, 12,017 tokens, read whole)\n",
        "- Model: qwen2.5-coder-1.5b (Q4_K_M, 1.5B, cpu)\n",
        "- Time: answered in 1 min 15 s",
        "- Peak memory: 2.1 GB\n",
    ];
    let mut rest = markdown.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not (or not here) in\n{markdown}"));
        rest = &rest[at + part.len()..];
    }
    assert!(!markdown.contains("## In one sentence"), "the gist is on top only");
}

#[test]
fn japanese_reports_have_japanese_words() {
    let summary = summary("ja");
    for form in [Form::Markdown, Form::Html, Form::Text] {
        let text = summary.render(form).unwrap();
        for words in ["ronbun が論文の中で見つけたコードへのリンク", "注意", "1 分 15 秒で 0 トークン"]
        {
            assert!(text.contains(words), "{form:?} lacks {words}:\n{text}");
        }
        for words in ["Warnings", "Peak memory", "read whole"] {
            assert!(!text.contains(words), "{form:?} has {words}:\n{text}");
        }
    }
    assert!(summary.render(Form::Html).unwrap().contains("<html lang=\"ja\">"));
}

#[test]
fn what_was_left_out_is_told_and_the_paper_is_not_called_whole() {
    let references = Portion { share: Share::References, blocks: 40, characters: 7123 };
    for (language, left_out) in [
        ("en", "- Left out: references (7,123 characters), pages 4-5,9\n"),
        ("ja", "- 読ませなかった部分: 参考文献（7,123 文字）、4-5,9 ページ\n"),
    ] {
        let mut summary = summary(language);
        summary.paper.left_out = LeftOut { parts: vec![references], pages: vec![4, 5, 9] };
        let markdown = summary.render(Form::Markdown).unwrap();
        assert!(markdown.contains(left_out), "{markdown}");
        for form in [Form::Markdown, Form::Html, Form::Text] {
            let text = summary.render(form).unwrap();
            assert!(!text.contains("read whole") && !text.contains("全文"), "{form:?}: {text}");
        }
    }
}

#[test]
fn the_page_is_escaped_and_fetches_nothing() {
    let html = summary("en").render(Form::Html).unwrap();
    for part in [
        "<title>A &lt;Paper&gt; &amp; its title</title>",
        "Content-Security-Policy",
        "&lt;b&gt;html&lt;/b&gt;",
        "<p class=\"gist\">A <strong>short</strong> gist.</p>",
        "<h3>Sub</h3>",
        "<a href=\"https://github.com/org/code\"",
        "<code>https://made.up/x</code>",
    ] {
        assert!(html.contains(part), "no {part} in\n{html}");
    }
    for part in ["<script", "<img", "<link", "@import", "url(", "<b>html", "href=\"https://made.up"] {
        assert!(!html.contains(part), "{part} in\n{html}");
    }
}

#[test]
fn the_text_has_no_marks() {
    let text = summary("en").render(Form::Text).unwrap();
    assert!(text.starts_with("A <Paper> & its title\n=====================\n\nA short gist.\n"), "{text}");
    assert!(!text.contains("**") && !text.contains("## "), "{text}");
}

#[test]
fn json_comes_back_as_it_was() {
    let summary = summary("ja");
    let json = summary.render(Form::Json).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    assert!(json.contains("\"temperature\": 0.3,"), "{json}");
}

#[test]
fn answers_asked_together_bring_their_own_headings() {
    let mut summary = summary("en");
    summary.template.ask = Ask::Together;
    summary.gist = None;
    summary.answers = vec![answer("together", "All questions", "## 1. Problem\ntext")];
    let markdown = summary.render(Form::Markdown).unwrap();
    assert!(markdown.contains("\n## 1. Problem\ntext\n") && !markdown.contains("All questions"), "{markdown}");
    assert!(summary.render(Form::Html).unwrap().contains("<h2>1. Problem</h2>"));
}

/// `RONBUN_BLESS=1 cargo test` writes the schema anew.
#[test]
fn the_committed_schema_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/summary.schema.json");
    let mut schema = serde_json::to_string_pretty(&schemars::schema_for!(Summary)).unwrap();
    schema.push('\n');
    if std::env::var_os("RONBUN_BLESS").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == schema, "summary.schema.json is out of date; write it anew with RONBUN_BLESS=1 cargo test");
}
