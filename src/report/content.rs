//! What every form of a report shows: the sections in their order, and the facts at the end.

use super::{Answer, Summary, words, words::Words};
use crate::document::{Link, LinkKind};
use crate::template::Ask;

/// An answer with what ronbun itself adds to it.
pub(super) struct Section<'a> {
    /// Absent where the answer brings its own headings.
    pub title: Option<&'a str>,
    /// The model's Markdown, or ronbun's sentence that there is none.
    pub text: &'a str,
    pub answer: &'a Answer,
    /// ronbun's own sentence about code links, and the links that it leads to.
    pub code: Option<(&'static str, &'a [Link])>,
}

impl Summary {
    pub(super) fn words(&self) -> &'static Words {
        words::of(&self.template.language)
    }

    pub(super) fn title(&self) -> &str {
        self.paper.title.as_deref().filter(|title| !title.trim().is_empty()).unwrap_or(&self.paper.file)
    }

    /// All answers but the gist, which stands on top.
    pub(super) fn sections(&self) -> Vec<Section<'_>> {
        let words = self.words();
        let below = self.answers.iter().filter(|answer| self.gist.is_none() || answer.id != "gist");
        below
            .map(|answer| Section {
                title: (self.template.ask == Ask::Each).then_some(answer.title.as_str()),
                text: if answer.text.is_empty() { words.no_answer } else { &answer.text },
                answer,
                code: self.code(answer),
            })
            .collect()
    }

    fn code<'a>(&self, answer: &'a Answer) -> Option<(&'static str, &'a [Link])> {
        let words = self.words();
        let has_code = self.paper.links.iter().any(|link| link.kind == LinkKind::Code);
        match (answer.id == "code", answer.links.is_empty()) {
            (_, false) => Some((words.code_links, &answer.links)),
            (true, true) if !has_code => Some((words.no_code_links, &[])),
            _ => None,
        }
    }

    /// Warnings about the paper, and about the gist.
    pub(super) fn warnings(&self) -> Vec<String> {
        let gist = self.answers.iter().filter(|answer| answer.id == "gist" && self.gist.is_some());
        let of_gist = gist.flat_map(|answer| answer.warnings.iter().map(|text| format!("{}: {text}", answer.title)));
        self.paper.warnings.iter().cloned().chain(of_gist).collect()
    }

    /// Label and value of what a reader needs to judge and repeat the summary.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let (words, paper, timings) = (self.words(), &self.paper, &self.timings);
        let mut facts = vec![
            (words.paper, format!("{} ({})", paper.file, words.pages_and_tokens(paper))),
            (words.model, self.model_line()),
            (
                words.time,
                words.answered_in(timings.total_seconds, timings.decode_tokens, timings.decode_tokens_per_second),
            ),
        ];
        if !paper.left_out.is_empty() {
            facts.insert(1, (words.left_out, words.left_out(&paper.left_out)));
        }
        if let Some(bytes) = timings.peak_memory_bytes {
            facts.push((words.memory, format!("{:.1} GB", bytes as f64 / 1e9)));
        }
        let sampling = &self.sampling;
        facts.push((words.sampling, format!("temperature {}, seed {}", sampling.temperature, sampling.seed)));
        facts.push((words.made, format!("ronbun {}, {}", self.ronbun_version, self.created)));
        facts
    }

    fn model_line(&self) -> String {
        let model = &self.model;
        let parameters = match model.parameters {
            0 => String::new(),
            count if count < 1_000_000_000 => format!("{:.0}M", count as f64 / 1e6),
            count => format!("{:.1}B", count as f64 / 1e9),
        };
        let extension = model.extension.as_ref().filter(|extension| !extension.is_native());
        let extension = extension.map_or("", |extension| extension.description.as_str());
        let details = [model.quantization.as_str(), &parameters, &model.device, extension];
        let details: Vec<_> = details.into_iter().filter(|detail| !detail.is_empty()).collect();
        if details.is_empty() { model.id.clone() } else { format!("{} ({})", model.id, details.join(", ")) }
    }
}

/// `12,017`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_grouped() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_017, "12,017"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), expected);
        }
    }
}
