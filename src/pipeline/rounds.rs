//! Asking until the answers are good: the questions whose answers are not are put again, with more insistence.

use super::{Event, Options, clean, language, repeats, timings::Clock};
use crate::generator::{self, FinishReason, Generator, Prompt, Question, Reply};
use crate::template::{Ask, language as languages};
use crate::{Error, Kind, Result, interrupt};
use std::collections::HashSet;

/// The best answer to a question, cleaned up, and how often it was put.
pub(super) struct Attempt {
    pub text: String,
    pub tokens: usize,
    pub finish_reason: FinishReason,
    pub attempts: u32,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    Loop,
    Language(&'static str),
    /// Nothing but words of the question.
    Echo,
    Empty,
}

pub(super) struct Asked<'a> {
    pub prompt: &'a Prompt,
    pub questions: &'a [Question],
    pub titles: &'a [String],
    pub ask: Ask,
    /// Tag of the language that the answers should be in.
    pub language: &'a str,
    pub options: &'a Options,
}

impl Asked<'_> {
    /// The best of up to `attempts` answers to each question.
    pub(super) fn answer(
        &self,
        generator: &mut dyn Generator,
        clock: &mut Clock,
        watch: &mut dyn FnMut(Event),
    ) -> Result<Vec<Attempt>> {
        let mut best: Vec<Option<(Flaw, Attempt)>> = self.questions.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..self.questions.len()).collect();
        for round in 0..self.options.attempts.max(1) {
            interrupt::check()?;
            let replies = self.put(&open, round, &best, generator, clock, watch)?;
            let mut again = Vec::new();
            for (&index, reply) in open.iter().zip(replies) {
                let attempt = self.cleaned(index, reply, round + 1);
                let asked = [self.questions[index].text.as_str(), &self.prompt.system];
                let flaw = flaw(&attempt, asked, self.language);
                // A second circle is enough: such answers are the longest, and a third try seldom helps.
                let second_circle = flaw == Flaw::Loop && matches!(best[index], Some((Flaw::Loop, _)));
                if flaw != Flaw::None && !second_circle {
                    again.push(index);
                }
                keep_better(&mut best[index], flaw, attempt);
            }
            open = again;
            if open.is_empty() {
                break;
            }
        }
        Ok(best.into_iter().flatten().map(|(_, attempt)| attempt).collect())
    }

    /// One call of the generator for the questions that are still open.
    fn put(
        &self,
        open: &[usize],
        round: u32,
        best: &[Option<(Flaw, Attempt)>],
        generator: &mut dyn Generator,
        clock: &mut Clock,
        watch: &mut dyn FnMut(Event),
    ) -> Result<Vec<Reply>> {
        let mut questions = Vec::with_capacity(open.len());
        for &index in open {
            let question = self.questions[index].clone();
            questions.push(match &best[index] {
                None => question,
                Some((flaw, _)) => {
                    watch(Event::Again { index, reason: &reason(*flaw) });
                    insist(question, *flaw, self.language)
                }
            });
        }
        let mut sampling = self.options.sampling.clone();
        sampling.seed = sampling.seed.wrapping_add(u64::from(round));
        let (replies, usage) = generator.answer(self.prompt, &questions, &sampling, &mut |event| {
            watch(Event::Generator(at_original_index(event, open)));
        })?;
        clock.add(&usage);
        if replies.len() != questions.len() {
            let problem = format!("{} answers came back for {} questions", replies.len(), questions.len());
            return Err(Error::new(Kind::Internal, &generator.facts().id, problem));
        }
        Ok(replies)
    }

    fn cleaned(&self, index: usize, reply: Reply, attempts: u32) -> Attempt {
        let title = self.titles[index].as_str();
        let titles: &[&str] = if self.ask == Ask::Each { &[title] } else { &[] };
        let mut text = clean::clean(&reply.text, titles);
        let mut finish_reason = reply.finish_reason;
        if finish_reason == FinishReason::Length {
            text.truncate(clean::last_whole_sentence(&text));
        }
        if let Some(once) = repeats::without(&text) {
            (text, finish_reason) = (once, FinishReason::Loop);
        }
        Attempt { text, tokens: reply.tokens, finish_reason, attempts }
    }
}

/// `question`: the question itself and the instructions around it.
fn flaw(attempt: &Attempt, [question, instructions]: [&str; 2], asked: &str) -> Flaw {
    if attempt.text.is_empty() {
        return Flaw::Empty;
    }
    if is_echo(&attempt.text, question, instructions) {
        return Flaw::Echo;
    }
    if let Some(found) = language::wrong(&attempt.text, asked) {
        return Flaw::Language(found);
    }
    if attempt.finish_reason == FinishReason::Loop { Flaw::Loop } else { Flaw::None }
}

/// An answer is nearly its question if this much of its letters' trigrams are the question's.
const ECHO: f64 = 0.8;

/// Whether every line of the answer stands in the question or in the instructions, marks and case
/// aside, or nearly does. Small models give back the form that a question asks for. An answer that
/// a question asks for word by word (it stands there in quotes) is none.
fn is_echo(text: &str, question: &str, instructions: &str) -> bool {
    let words =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let whole = text.trim().trim_end_matches(['。', '.']);
    if ["\"", "「"]
        .iter()
        .any(|quote| [question, instructions].iter().any(|text| text.contains(&format!("{quote}{whole}"))))
    {
        return false;
    }
    let (question, instructions) = (words(question), words(instructions));
    let lines = || text.lines().map(words).filter(|line| !line.is_empty());
    let trigrams = |text: &str| -> HashSet<[char; 3]> {
        let letters: Vec<char> = text.chars().collect();
        letters.windows(3).map(|window| [window[0], window[1], window[2]]).collect()
    };
    let (asked, answered) = (trigrams(&question), lines().flat_map(|line| trigrams(&line)).collect::<HashSet<_>>());
    let nearly = answered.intersection(&asked).count() as f64 >= ECHO * answered.len() as f64;
    lines().all(|line| question.contains(&line) || instructions.contains(&line)) || !answered.is_empty() && nearly
}

/// Keeps the answer with the lesser flaw, of two that were cut at a circle the longer one, else the first.
/// The count of attempts is that of all.
fn keep_better(best: &mut Option<(Flaw, Attempt)>, flaw: Flaw, attempt: Attempt) {
    let Some((best_flaw, kept)) = best else {
        *best = Some((flaw, attempt));
        return;
    };
    let attempts = attempt.attempts;
    let longer_loop = flaw == Flaw::Loop && *best_flaw == Flaw::Loop && attempt.text.len() > kept.text.len();
    let lesser = severity(flaw) < severity(*best_flaw);
    if lesser || longer_loop {
        (*best_flaw, *kept) = (flaw, attempt);
    }
    kept.attempts = attempts;
}

fn severity(flaw: Flaw) -> u8 {
    match flaw {
        Flaw::None => 0,
        Flaw::Loop => 1,
        Flaw::Language(_) => 2,
        Flaw::Echo => 3,
        Flaw::Empty => 4,
    }
}

fn reason(flaw: Flaw) -> String {
    match flaw {
        Flaw::None => String::new(),
        Flaw::Loop => "it went in circles".into(),
        Flaw::Language(found) => format!("it was in {}", languages::name(found)),
        Flaw::Echo => "it only repeated the question".into(),
        Flaw::Empty => "it was empty".into(),
    }
}

/// The same question, ending with what went wrong, in the language that the answer should have.
fn insist(mut question: Question, flaw: Flaw, language: &str) -> Question {
    let japanese = languages::primary(language) == "ja";
    let once_more = match (flaw, japanese) {
        (Flaw::Loop, true) => "同じ内容を繰り返さず、要点だけを短く書いてください。",
        (Flaw::Loop, false) => "Say each thing once, briefly, and then stop.",
        (Flaw::Echo, true) => "質問の文を書き写さず、論文の具体的な内容を書いてください。",
        (Flaw::Echo, false) => "Do not repeat the question; write what the paper says.",
        (Flaw::Empty, true) => "論文を読み、必ず回答を書いてください。",
        (Flaw::Empty, false) => "Read the paper and write an answer.",
        (Flaw::Language(_), true) => "英語や中国語では書かないでください。",
        (Flaw::Language(_) | Flaw::None, _) => "",
    };
    question.text = format!("{}\n{}", question.text, languages::insist(language));
    if !once_more.is_empty() {
        question.text = format!("{}\n{once_more}", question.text);
    }
    question
}

fn at_original_index<'a>(event: generator::Event<'a>, open: &[usize]) -> generator::Event<'a> {
    let original = |index: usize| open.get(index).copied().unwrap_or(index);
    match event {
        generator::Event::Prefill { .. } | generator::Event::OneAtATime | generator::Event::Moved(_) => event,
        generator::Event::Text { index, piece } => generator::Event::Text { index: original(index), piece },
        generator::Event::End { index, reason } => generator::Event::End { index: original(index), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::is_echo;

    #[test]
    fn answers_that_only_repeat_the_question() {
        let question = "One bullet each: authors, title, year, and why to read it.";
        assert!(is_echo("- Authors, title, year, and why to read it.", question, ""));
        assert!(!is_echo("- Authors, title, year.\n- Vaswani, Attention, 2017.", question, ""));
        let japanese = "「- 手法の名前：その弱点」の形で、日本語で答えてください。";
        assert!(is_echo("- 手法の名前：その弱点", "形は手法の名前：その弱点です", ""));
        assert!(is_echo("日本語で答えてください。", japanese, ""));
        assert!(is_echo(
            "no preamble, no repetition.",
            question,
            "Answer at once: no preamble, no repetition. Be exact."
        ));
        let asked = "二つの段落に分けて答えてください。第一の段落では、どのデータを使い、どの指標で、どのような数値を得て、何と比較したのかを述べてください。";
        assert!(is_echo(
            "第一段落では、データを使い、どの指標で、どのような数値を得て、何と比較したのかを述べています。",
            asked,
            ""
        ));
        assert!(!is_echo("リンクがありません。", "なければ、「リンクがありません。」とだけ書いてください。", ""));
    }
}
