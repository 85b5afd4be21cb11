//! Real papers through PDFium, which is fetched once (`RONBUN_PDFIUM` names another). The papers are
//! looked for in `../shared` (or `RONBUN_SHARED`). What cannot be had is skipped, saying so.

mod common;

use common::{library, papers, read};
use ronbun::Kind;
use ronbun::document::{Block, BlockKind, Document, LinkKind, Part, TextQuality};
use std::collections::HashMap;
use std::path::Path;

/// A row of the papers' index, by its columns' names.
fn index(papers: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(papers.join("INDEX.tsv")).expect("readable index");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split('\t').collect();
    lines
        .map(|line| names.iter().map(|name| name.to_string()).zip(line.split('\t').map(str::to_string)).collect())
        .collect()
}

fn characters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

#[test]
fn every_paper_of_the_collection_does_what_the_index_says() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let mut wrong = Vec::new();
    for row in index(&papers) {
        let (name, expect) = (row["file"].as_str(), row["expect"].as_str());
        let file = papers.join(name);
        let password = row["note"].split("password=").nth(1);
        let result = read(&library, &file, None);
        let kind = result.as_ref().map_or_else(|error| Some(error.kind), |_| None);
        let expected = match expect {
            _ if password.is_some() => Some(Kind::Password),
            "image only" | "no text: outline paths" | "encrypted, opens, no text" => Some(Kind::NoText),
            "unmapped glyphs" | "bad OCR layer" => Some(Kind::NoText),
            // "pdf.js" in invisible letters over a picture of a page.
            _ if name == "damaged_scan_bad.pdf" => Some(Kind::NoText),
            // Five bytes that say "oops": nothing of a PDF is in them.
            _ if name == "qpdf_bad1.pdf" => Some(Kind::Input),
            "damaged: refused" => Some(Kind::Damaged),
            _ => None,
        };
        if kind != expected {
            wrong.push(format!("{name} ({expect}): {kind:?} instead of {expected:?}"));
            continue;
        }
        let result = match password {
            Some(password) => {
                let error = read(&library, &file, Some("not the password")).expect_err("a wrong password");
                assert_eq!(error.kind, Kind::Password, "{name}");
                read(&library, &file, Some(password))
            }
            None => result,
        };
        let Ok(document) = result else {
            if password.is_some() {
                wrong.push(format!("{name}: does not open with its password"));
            }
            continue;
        };
        let bad = document.pages.iter().find(|page| page.text_quality != TextQuality::Good);
        if let Some(page) = bad.filter(|_| expect == "good") {
            wrong.push(format!("{name}, page {}: {:?}, {:?}", page.number, page.text_quality, page.reason));
        }
        let pages: usize = row["pages"].parse().expect("a number");
        assert!(pages == document.pages.len(), "{name}: {} pages", document.pages.len());
        let (got, all): (usize, usize) = (characters(&document.text()), row["chars_pdfium"].parse().expect("a number"));
        let kept =
            got + document.pages.iter().flat_map(|page| &page.dropped).map(|line| characters(line)).sum::<usize>();
        // The index counts white space too, of which a paper has less than a third.
        if kept * 10 < all * 6 {
            wrong.push(format!("{name}: {got} characters of {all}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What becomes of a text layer that is none.
enum Flag {
    /// The whole document is refused, for a reason that holds these words.
    Refused(&'static str),
    /// A page is marked repaired, and its text holds these words.
    Repaired(&'static str),
    /// The text is kept, with a warning that holds these words.
    Warned(&'static str),
}

#[test]
fn bad_text_layers_are_flagged() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let flags = [
        ("docling_invisible_text_layer.pdf", Flag::Warned("invisible")),
        ("enc_encrypted_doc_no_id.pdf", Flag::Refused("empty")),
        ("damaged_scan_bad.pdf", Flag::Refused("next to no text")),
        ("issue791_non_unicode_cmap.pdf", Flag::Refused("which letters its glyphs are")),
        ("llama2_first4pages_broken_tounicode.pdf", Flag::Warned("letters are not known")),
        ("mineru_small_ocr.pdf", Flag::Refused("images fill it")),
        ("notext_medium_llama2_howto_17p.pdf", Flag::Refused("outlines")),
        ("olmocr_dolma-page-1.pdf", Flag::Repaired("Information about pretraining corpora used to train")),
        ("olmocr_edgar_image.pdf", Flag::Refused("an image fills it")),
        ("olmocr_handwriting_bad_ocr.pdf", Flag::Refused("misread")),
        ("scan_backus1977_p21.pdf", Flag::Warned("OCR layer")),
        ("scan_docling_ocr_test.pdf", Flag::Refused("an image fills it")),
        ("scan_loremipsum_flat.pdf", Flag::Refused("an image fills it")),
        ("scan_with_ocr_layer.pdf", Flag::Warned("OCR layer")),
    ];
    for (name, flag) in &flags {
        let result = read(&library, &papers.join(name), None);
        match (flag, &result) {
            (Flag::Refused(part), Err(error)) => {
                assert!(error.kind == Kind::NoText && error.problem.contains(part), "{name}: {error}");
            }
            (Flag::Repaired(part), Ok(document)) => {
                let repaired = document.pages.iter().any(|page| page.text_quality == TextQuality::Repaired);
                assert!(repaired && document.text().contains(part), "{name}: {:?}", document.warnings);
            }
            (Flag::Warned(part), Ok(document)) => {
                assert!(document.warnings.iter().any(|text| text.contains(part)), "{name}: {:?}", document.warnings);
            }
            (_, Ok(document)) => panic!("{name} is not refused: {:?}", document.warnings),
            (_, Err(error)) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn two_columns_are_read_in_order() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1810.04805.pdf"), None).expect("a good paper");
    let expected = "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding";
    assert_eq!(document.title.as_deref(), Some(expected));
    assert_eq!(document.pages[0].dropped, ["arXiv:1810.04805v2 [cs.CL] 24 May 2019"]);
    let text = document.text();
    let places: Vec<usize> = [
        "We introduce a new language representation model called BERT",
        "MultiNLI accuracy to 86.7%",
        "Language model pre-training has been shown to be effective",
        "Unlike left-to-right language model pre-training",
        "There is a long history of pre-training general language representations",
        "BERT’s model architecture is a multi-layer bidirectional Transformer encoder",
        "we have demonstrated",
    ]
    .iter()
    .filter_map(|part| text.find(part))
    .collect();
    assert!(places.len() >= 6 && places.is_sorted(), "{places:?}");
    let code = document.links.iter().find(|link| link.kind == LinkKind::Code).expect("a link to its code");
    assert_eq!(code.url, "https://github.com/google-research/bert");
}

#[test]
fn blocks_say_what_they_are_and_where_they_stand() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1706.03762.pdf"), None).expect("a good paper");
    assert_eq!(document.authors.len(), 8);
    assert_eq!((document.authors[0].as_str(), document.authors[6].as_str()), ("Ashish Vaswani", "Łukasz Kaiser"));
    let block = |start: &str| document.blocks.iter().find(|block| block.text.starts_with(start)).expect(start);
    let heading = |level, number: Option<&str>| BlockKind::Heading { level, number: number.map(str::to_string) };
    for (start, kind, part, pages) in [
        ("Attention Is All", BlockKind::Title, Part::Front, &[1][..]),
        ("Ashish Vaswani", BlockKind::Authors, Part::Front, &[1]),
        ("Abstract", heading(1, None), Part::Body, &[1]),
        ("3.2.1 Scaled", heading(3, Some("3.2.1")), Part::Body, &[4]),
        ("An attention function", BlockKind::Paragraph, Part::Body, &[3, 4]),
        ("• The encoder contains", BlockKind::ListItem, Part::Body, &[5]),
        ("Table 1: Maximum", BlockKind::Caption, Part::Body, &[6]),
        ("⁴To illustrate", BlockKind::Footnote, Part::Body, &[4]),
        ("References", heading(1, None), Part::References, &[10]),
        ("[40] Muhua", BlockKind::Reference, Part::References, &[12]),
    ] {
        let block = block(start);
        assert_eq!((&block.kind, block.part), (&kind, part), "{start}");
        assert_eq!(block.spans.iter().map(|span| span.page).collect::<Vec<_>>(), pages, "{start}");
    }
    let place = |start: &str| document.blocks.iter().position(|block| block.text.starts_with(start)).expect(start);
    assert!(place("An attention function") < place("Figure 2") && place("Figure 2") < place("3.2.1 Scaled"));
}

#[test]
fn papers_of_other_kinds_have_their_parts_too() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    for (name, authors, sections, appendix) in [
        ("1810.04805.pdf", 4, 6, true),
        ("2103.13630.pdf", 6, 7, false),
        ("multi_column.pdf", 8, 8, true),
        ("ja_dbs157.pdf", 1, 7, false),
        ("olmocr_not_parsing.pdf", 3, 4, false),
    ] {
        let document = read(&library, &papers.join(name), None).expect(name);
        assert!(document.authors.len() >= authors, "{name}: {:?}", document.authors);
        let is_section = |block: &&Block| match &block.kind {
            BlockKind::Heading { level: 1, number: Some(_) } => block.part == Part::Body,
            _ => false,
        };
        assert_eq!(document.blocks.iter().filter(is_section).count(), sections, "{name}");
        let has = |part| document.blocks.iter().any(|block| block.part == part);
        assert!(has(Part::Front) && has(Part::References), "{name}");
        assert_eq!(has(Part::Appendix), appendix, "{name}");
    }
}

#[test]
fn japanese_lines_are_joined_without_spaces() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("ja_ipsj_jsample_luatex.pdf"), None).expect("a good paper");
    let text = document.text();
    let is_kana = |c: char| ('\u{3041}'..='\u{30FF}').contains(&c);
    let letters: Vec<char> = text.chars().collect();
    let spaced = letters.windows(3).filter(|three| is_kana(three[0]) && three[1] == ' ' && is_kana(three[2])).count();
    let kana = letters.iter().filter(|c| is_kana(**c)).count();
    assert!(kana > 3000 && spaced * 200 < kana, "{spaced} spaces among {kana} kana");
}

#[test]
fn vertical_japanese_is_read_from_the_right() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("ja_jo_vertical.pdf"), None).expect("a good page");
    let text = document.text();
    // The file brings no font: where the machine has none, PDFium leaves out lines of plain letters, which is told.
    let whole = !document.warnings.iter().any(|warning| warning.starts_with("lines are missing (page 1)"));
    let lines = match whole {
        true => [
            "わたくしといふ現象は",
            "假定された有機交流電燈の",
            "ひとつの青い照明です",
            "因果交流電燈の",
            "大正十三年一月廿日",
        ],
        false => [
            "あらゆる透明な幽霊の複合体",
            "ひかりはたもち、その電燈は失はれ",
            "すべてわたくしと明滅し",
            "宇宙塵をたべ、または空気や塩水を呼吸しながら",
            "みんなのおのおののなかのすべてですから",
        ],
    };
    let places: Vec<Option<usize>> = lines.iter().map(|line| text.find(line)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {text}");
}

#[test]
fn the_stated_gold_is_reached_on_the_attention_paper() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1706.03762.pdf"), None).expect("a good paper");
    assert_eq!(document.title.as_deref(), Some("Attention Is All You Need"));
    let text = document.text();
    for sentence in [
        "The dominant sequence transduction models are based on complex recurrent or convolutional neural networks that \
         include an encoder and a decoder.",
        "We propose a new simple network architecture, the Transformer, based solely on attention mechanisms, dispensing with \
         recurrence and convolutions entirely.",
        "The encoder is composed of a stack of N = 6 identical layers.",
        "Most competitive neural sequence transduction models have an encoder-decoder structure",
    ] {
        assert!(text.contains(sentence), "{sentence}");
    }
    assert!(document.links.iter().any(|link| link.url.contains("github.com/tensorflow/tensor2tensor")));
}

/// The blocks of one kind on a page.
fn blocks_of(document: &Document, page: u32, wanted: fn(&BlockKind) -> bool) -> Vec<&Block> {
    document.blocks.iter().filter(|block| block.page() == page && wanted(&block.kind)).collect()
}

#[test]
fn tables_and_formulas_of_the_attention_paper_are_read_as_such() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1706.03762.pdf"), None).expect("a good paper");
    let formulas: Vec<&str> = document
        .blocks
        .iter()
        .filter(|block| block.kind == BlockKind::Formula)
        .map(|block| block.text.as_str())
        .collect();
    assert!(formulas.contains(&"Attention(Q, K, V ) = softmax( (QK^T)/(√d_k) )V (1)"), "{formulas:?}");
    let table = blocks_of(&document, 10, |kind| matches!(kind, BlockKind::Table { .. }));
    let [Block { kind: BlockKind::Table { rows }, .. }] = table[..] else { panic!("{table:?}") };
    assert_eq!(rows[0], ["Parser", "Training", "WSJ 23 F1"]);
    assert!(rows.contains(&vec!["Transformer (4 layers)".into(), "semi-supervised".into(), "92.7".into()]), "{rows:?}");
}
