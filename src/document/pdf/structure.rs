//! The paper's parts, and the kind of each paragraph in them.

use super::headings::{self, Number, Scheme};
use super::marks::{is_abstract, is_references_heading};
use super::paragraphs::Draft;
use super::{front, marks};
use crate::document::{BlockKind, Part};

/// Sets the kind of every paragraph where its surroundings decide it, and returns each one's part and the authors' names.
/// `slides`: pages are slides, with a heading each.
pub fn structure(drafts: &mut [Draft], title: Option<&str>, slides: bool) -> (Vec<Part>, Vec<String>) {
    if slides {
        headings::keep_one_a_page(drafts);
    } else {
        headings::promote(drafts);
    }
    mark_labels(drafts);
    let body = front::mark(drafts, title);
    let contents = mark_contents(drafts);
    headings::set_levels(drafts);
    let parts = parts(drafts, body, &contents);
    for (draft, part) in drafts.iter_mut().zip(&parts) {
        if *part == Part::References && matches!(draft.kind, BlockKind::Paragraph | BlockKind::ListItem) {
            draft.kind = BlockKind::Reference;
        }
    }
    let authors = front::authors(&drafts[..body]);
    (parts, authors)
}

/// Large or bold lines right above a figure's caption are the figure's own text, however much they look like headings;
/// a number tells those.
fn mark_labels(drafts: &mut [Draft]) {
    let is_label =
        |draft: &Draft| draft.is_heading() && Number::of(&draft.text).is_none() && !marks::is_heading_text(&draft.text);
    let mut caption: Option<usize> = None;
    for draft in drafts.iter_mut().rev() {
        let page = Some(draft.page());
        caption = match &draft.kind {
            BlockKind::Caption if marks::is_figure_caption(&draft.text) => page,
            BlockKind::Figure => caption.filter(|at| Some(*at) == page),
            _ if caption == page && is_label(draft) => {
                draft.kind = BlockKind::Figure;
                page
            }
            _ => None,
        };
    }
}

/// Lines of a table of contents, which look like the headings that they name: they become items of a list.
fn mark_contents(drafts: &mut [Draft]) -> Vec<bool> {
    let mut within = false;
    let mut contents = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let entry = draft.text.lines().all(marks::is_contents_entry);
        let title = draft.is_heading() && marks::is_contents_heading(&draft.text);
        within = title || within && (entry || draft.is_heading() && marks::ends_with_number(&draft.text));
        let inside = within || entry && draft.text.contains(". . . .");
        if inside && !title {
            draft.kind = BlockKind::ListItem;
        }
        contents.push(inside);
    }
    contents
}

/// The part of each paragraph: the front up to `body`; from the references' heading on the references, up to the next
/// heading; what follows them, or the first heading of an appendix before them, is the appendix.
fn parts(drafts: &[Draft], body: usize, contents: &[bool]) -> Vec<Part> {
    let sections = |draft: &&Draft| matches!(&draft.kind, BlockKind::Heading { level: 1, .. });
    let roman = headings::counts_in_roman(drafts);
    let number = |draft: &Draft| Number::of(&draft.text).map(|(number, _)| number.settled(roman));
    let schemes: Vec<Scheme> = drafts.iter().filter(sections).filter_map(number).map(|number| number.scheme).collect();
    let letters = schemes.iter().filter(|scheme| **scheme != Scheme::Letter).count() >= 2;
    let mut sections = 0;
    let mut part = Part::Front;
    let mut parts = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        if contents[index] {
            parts.push(Part::Front);
            continue;
        }
        if index == body {
            part = Part::Body;
        }
        if let BlockKind::Heading { level, .. } = &draft.kind {
            let appendix = *level == 1 && starts_appendix(&draft.text, letters);
            let number = number(draft);
            let section = number.filter(|number| number.scheme != Scheme::Letter && number.path.len() == 1);
            let next = section.is_some_and(|section| section.path == [sections + 1]);
            sections += u32::from(next);
            part = match part {
                Part::Front => part,
                _ if is_references_heading(&draft.text) => Part::References,
                Part::Body if appendix => Part::Appendix,
                // Some journals print the references before the first section.
                Part::References if next && *level == 1 => Part::Body,
                Part::References => Part::Appendix,
                part => part,
            };
        }
        parts.push(part);
    }
    release_figures(drafts, &mut parts);
    parts
}

/// Figures and tables on the pages behind the last reference are no part of the list.
fn release_figures(drafts: &[Draft], parts: &mut [Part]) {
    let Some(last) = parts.iter().rposition(|part| *part == Part::References) else { return };
    let entry = |index: &usize| parts[*index] == Part::References && !drafts[*index].floats();
    let Some(end) = (0..=last).rev().find(entry) else { return };
    let page = |draft: &Draft| draft.places.last().map_or(0, |(page, _)| *page);
    for index in end + 1..=last {
        if drafts[index].page() > page(&drafts[end]) {
            parts[index] = Part::Appendix;
        }
    }
}

/// `Appendix …`, or the letter A where sections have numbers (`letters`).
fn starts_appendix(text: &str, letters: bool) -> bool {
    let lower = text.to_lowercase();
    let named = ["appendix", "appendices", "supplementary material", "supplemental material", "付録"];
    let lettered = || Number::of(text).is_some_and(|(number, _)| number.scheme == Scheme::Letter && number.path == [1]);
    named.iter().any(|name| lower.starts_with(name)) || letters && lettered() && !is_abstract(text)
}

#[cfg(test)]
mod tests {
    use super::super::paragraphs::tests::draft;
    use super::*;

    fn parts_of(texts: &[&str]) -> String {
        let mut drafts: Vec<Draft> = texts.iter().map(|text| draft(text)).collect();
        let (parts, _) = structure(&mut drafts, Some("The Title"), false);
        let letter = |part: &Part| match part {
            Part::Front => 'F',
            Part::Body => 'B',
            Part::References => 'R',
            Part::Appendix => 'A',
        };
        parts.iter().map(letter).collect()
    }

    #[test]
    fn parts_follow_each_other() {
        let texts = [
            "The Title",
            "Ada Lovelace",
            "Abstract",
            "We did it.",
            "1 Introduction",
            "2 Conclusion",
            "Thanks.",
            "References",
            "[1] A book.",
            "A APPENDIX PROOFS",
            "It holds.",
        ];
        assert_eq!(parts_of(&texts), "FFBBBBBRRAA");
    }

    #[test]
    fn figures_on_the_pages_behind_the_references_are_none_of_them() {
        let mut drafts: Vec<Draft> =
            ["Abstract", "References", "[1] A.", "Figure 1: On the page", "Figure 2: Behind it"].map(draft).into();
        drafts[4].places[0].0 = 1;
        let (parts, _) = structure(&mut drafts, None, false);
        assert_eq!(parts[2..], [Part::References, Part::References, Part::Appendix]);
    }

    #[test]
    fn a_large_line_above_a_figures_caption_is_its_label() {
        let mut drafts: Vec<Draft> =
            ["Layer of the input", "Figure 4: Two heads", "Its heading", "Text."].map(draft).into();
        for index in [0, 2] {
            drafts[index].kind = BlockKind::Heading { level: 0, number: None };
        }
        mark_labels(&mut drafts);
        assert_eq!(drafts[0].kind, BlockKind::Figure);
        assert!(drafts[2].is_heading());
    }

    #[test]
    fn an_appendix_before_the_references_and_references_before_the_text() {
        let appendix =
            ["The Title", "Abstract", "1 Introduction", "2 Conclusion", "Appendix", "More.", "References", "[1] A."];
        assert_eq!(parts_of(&appendix), "FBBBAARR");
        let early = ["The Title", "Abstract", "References", "[1] A.", "1 Introduction", "Text."];
        assert_eq!(parts_of(&early), "FBRRBB");
    }

    #[test]
    fn a_table_of_contents_is_no_body() {
        let texts = [
            "The Title",
            "Abstract",
            "Short.",
            "Contents",
            "1 Introduction 2",
            "2 Method 7",
            "1 Introduction",
            "Text.",
        ];
        assert_eq!(parts_of(&texts), "FBBFFFBB");
    }
}
