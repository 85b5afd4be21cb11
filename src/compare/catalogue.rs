//! The figures that a comparison has: what each counts, and which way is better.

use serde::Serialize;

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    More,
    Less,
    /// It is only different.
    Neither,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    pub id: &'static str,
    /// What is counted, and of what.
    pub title: &'static str,
    pub group: &'static str,
    pub better: Better,
    /// Digits after the point.
    pub digits: usize,
}

const fn figure(group: &'static str, id: &'static str, title: &'static str, better: Better, digits: usize) -> Figure {
    Figure { id, title, group, better, digits }
}

/// All figures, in the order of the report.
pub const FIGURES: [Figure; 33] = [
    figure("Costs", "cost_usd", "US dollars an output", Better::Less, 4),
    figure("Costs", "cost_jpy", "yen an output", Better::Less, 2),
    figure("Costs", "energy_wh", "energy an output, Wh", Better::Less, 2),
    figure("Language", "language", "outputs in the language asked for, share", Better::More, 2),
    figure("Language", "language_sentences", "sentences in the language asked for, share", Better::More, 2),
    figure("Language", "mixed", "outputs in more than one language, share", Better::Less, 2),
    figure("Length", "characters", "characters written", Better::Neither, 1),
    figure("Length", "tokens", "tokens written", Better::Neither, 1),
    figure("Length", "prompt_tokens", "tokens of the prompt", Better::Neither, 0),
    figure("Consistency", "consistency", "cosine between trials, mean of all pairs", Better::More, 3),
    figure("Adherence", "answered", "questions answered, share", Better::More, 2),
    figure("Adherence", "in_order", "outputs with all headings in order, share", Better::More, 2),
    figure("Adherence", "headed", "questions with a heading as asked for, share", Better::More, 2),
    figure("Adherence", "refused", "answers refused, share", Better::Less, 2),
    figure("Adherence", "truncated", "answers cut at the limit of tokens, share", Better::Less, 2),
    figure("Adherence", "looped", "answers that went in circles, share", Better::Less, 2),
    figure("Faithfulness", "invented_links", "links that the paper does not have", Better::Less, 2),
    figure("Faithfulness", "invented_numbers", "numbers that the paper does not have", Better::Less, 2),
    figure("Faithfulness", "numbers_found", "numbers that stand in the paper, share", Better::More, 2),
    figure("Faithfulness", "works_found", "recommended works found in the references, share", Better::More, 2),
    figure("Faithfulness", "supported", "sentences near to a passage of the paper, share", Better::More, 2),
    figure("Gold answers", "token_f1", "token F1 against gold answers", Better::More, 3),
    figure("Gold answers", "rouge_l", "ROUGE-L against gold answers", Better::More, 3),
    figure("Judge", "judge_gold", "judged against gold answers: better 1, tie ½, worse 0", Better::More, 2),
    figure("Judge", "entailed", "sentences that their nearest passage entails, share", Better::More, 2),
    figure("Time", "seconds", "seconds an output", Better::Less, 1),
    figure("Time", "load_seconds", "seconds to load the model", Better::Less, 1),
    figure("Time", "prefill_seconds", "seconds of prefill", Better::Less, 2),
    figure("Time", "first_token_seconds", "seconds to the first token", Better::Less, 2),
    figure("Time", "decode_seconds", "seconds of decoding", Better::Less, 2),
    figure("Time", "prefill_rate", "tokens read a second", Better::More, 1),
    figure("Time", "decode_rate", "tokens written a second", Better::More, 1),
    figure("Time", "peak_memory_gb", "peak memory, GB", Better::Less, 2),
];

/// The figure with this id.
pub fn find(id: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.id == id)
}
