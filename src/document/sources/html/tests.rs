use super::*;

fn blocks(html: &str) -> Vec<(BlockKind, Part, String)> {
    read(html).blocks.into_iter().map(|block| (block.kind, block.part, block.text)).collect()
}

#[test]
fn a_page_made_by_latexml_has_its_parts() {
    let document = read(include_str!("../../../../tests/fixtures/sources/latexml.html"));
    let found: Vec<_> = document.blocks.iter().map(|block| (&block.kind, block.part, block.text.as_str())).collect();
    let heading = |level, number: Option<&str>| BlockKind::Heading { level, number: number.map(str::to_string) };
    let rows = [["Model", "Score", ""], ["", "dev", "test"], ["Ours", "0.9", "0.8"]]
        .map(|row| row.map(str::to_string).to_vec());
    let expected = [
        (&BlockKind::Title, Part::Front, "Small Papers"),
        (&BlockKind::Authors, Part::Front, "Ann Author Bob Writer"),
        (&heading(1, None), Part::Body, "Abstract"),
        (&BlockKind::Paragraph, Part::Body, "We write small papers."),
        (&heading(1, Some("1")), Part::Body, "1 Introduction"),
        (&BlockKind::Paragraph, Part::Body, "As [1, 2] say, $x_{1}$ is easy."),
        (&BlockKind::Footnote, Part::Body, "Not always."),
        (&BlockKind::Formula, Part::Body, "L=\\sum_{i}x_{i} \\tag{1}"),
        (&BlockKind::ListItem, Part::Body, "• first"),
        (&BlockKind::ListItem, Part::Body, "• second"),
        (&BlockKind::Caption, Part::Body, "Table 1: Scores."),
        (&BlockKind::Table { rows: rows.to_vec() }, Part::Body, "Model | Score | \n | dev | test\nOurs | 0.9 | 0.8"),
        (&BlockKind::Code, Part::Body, "x = 1\nprint(x)"),
        (&heading(1, None), Part::References, "References"),
        (&BlockKind::Reference, Part::References, "[1] D. E. Knuth. The TeXbook. 1984."),
        (&BlockKind::Reference, Part::References, "[2] L. Lamport. LaTeX. 1994."),
        (&heading(1, Some("A")), Part::Appendix, "Appendix A Proofs"),
        (&BlockKind::Paragraph, Part::Appendix, "See the data."),
    ];
    assert_eq!(found, expected);
    assert_eq!(document.authors, ["Ann Author", "Bob Writer"]);
    let [citation] = document.citations.as_slice() else { panic!("{:?}", document.citations) };
    assert_eq!((citation.text.as_str(), citation.start, citation.references.as_slice()), ("[1, 2]", 3, &[0, 1][..]));
    assert_eq!(document.references[1].label.as_deref(), Some("2"));
    assert_eq!(document.links[0].url, "https://zenodo.org/record/1");
}

#[test]
fn what_stands_beside_the_text_goes() {
    let html = "<html><head><title>T</title><style>x</style></head><body><nav>Menu</nav><script>alert()</script>\
        <main><h1>Title</h1><p>Text.</p><h2>1. One</h2><p>More <b>text</b>.</main><footer>Imprint</footer>";
    let texts: Vec<_> = blocks(html).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["Title", "Text.", "1. One", "More text."]);
}

#[test]
fn formulas_of_other_pages_are_taken_as_they_were_written() {
    let html = "<p>a <span class=katex><math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x^2</annotation>\
        </semantics></math><span aria-hidden=true>x2</span></span> b <script type='math/tex'>y_1</script>.";
    assert_eq!(blocks(html)[0].2, "a $x^2$ b $y_1$.");
}

#[test]
fn lists_and_spans() {
    let html = "<p>x<ol start=3><li>three<ul><li>in</ul><li><p>four<p>more</ol><table><tr><th rowspan=2>a<th>b<tr><td>c</table>";
    let found = blocks(html);
    let texts: Vec<_> = found.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(texts, ["x", "3. three", "• in", "4. four", "more", "a | b\n | c"]);
    assert_eq!(found[3].0, BlockKind::ListItem);
}

#[test]
fn encodings_are_taken_from_the_page() {
    let (bytes, _, _) = encoding_rs::EUC_JP.encode("<html><meta charset=\"euc-jp\"><p>表の構造");
    assert!(decode(&bytes).ends_with("<p>表の構造"));
}

#[test]
fn hostile_pages_are_read() {
    for piece in
        ["<div>", "<table>", "<a href='#x'><b>", "<ul><li>", "<math>", "</p>", "<td colspan=99999 rowspan=99999>x"]
    {
        read(&piece.repeat(1_000));
    }
    let page = include_str!("../../../../tests/fixtures/sources/latexml.html");
    for at in (0..page.len()).step_by(61).filter(|at| page.is_char_boundary(*at)) {
        read(&page[..at]);
        read(&page[at..]);
    }
}
