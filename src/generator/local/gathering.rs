//! Replies of trials that are decoded together, as they end: each trial is handed on once it is whole, with its share of the
//! time.

use crate::engine::Share;
use crate::generator::{Reply, Trial, Usage};
use std::time::Instant;

/// What was computed before the branches.
pub struct Prefix {
    pub started: Instant,
    /// Those that were not held.
    pub tokens: usize,
    pub seconds: f64,
}

/// Counts the questions of all trials through.
pub struct Gathering {
    started: Instant,
    trials: Vec<Open>,
    /// The trial of each question, and its place there.
    places: Vec<(usize, usize)>,
}

/// A trial whose replies are not all there yet.
struct Open {
    replies: Vec<Option<Reply>>,
    usage: Usage,
    heard: bool,
}

impl Gathering {
    /// The prefix is every trial's alike: each has the same part of its time.
    pub fn new(trials: &[Trial], prefix: Prefix, conversations: &[Vec<u32>]) -> Gathering {
        let count = trials.len().max(1);
        let open = |(number, trial): (usize, &Trial)| Open {
            replies: vec![None; trial.questions.len()],
            usage: Usage {
                // What is left over is the first ones'.
                prefill_tokens: prefix.tokens / count + usize::from(number < prefix.tokens % count),
                prefill_seconds: prefix.seconds / count as f64,
                ..Usage::default()
            },
            heard: false,
        };
        let mut trials_open: Vec<Open> = trials.iter().enumerate().map(open).collect();
        let of_trial = |(number, trial): (usize, &Trial)| (0..trial.questions.len()).map(move |place| (number, place));
        let places: Vec<(usize, usize)> = trials.iter().enumerate().flat_map(of_trial).collect();
        for ((trial, _), conversation) in places.iter().zip(conversations) {
            let usage = &mut trials_open[*trial].usage;
            usage.prompt_tokens = usage.prompt_tokens.max(conversation.len());
        }
        Gathering { started: prefix.started, trials: trials_open, places }
    }

    /// A token of question `index` was written.
    pub fn heard(&mut self, index: usize) {
        let trial = &mut self.trials[self.places[index].0];
        if !std::mem::replace(&mut trial.heard, true) {
            trial.usage.time_to_first_token_seconds = self.started.elapsed().as_secs_f64();
        }
    }

    /// Takes in the reply to question `index`; with the last one of a trial the trial comes out.
    pub fn add(&mut self, index: usize, reply: Reply, share: Share) -> Option<(usize, Vec<Reply>, Usage)> {
        self.heard(index);
        let (number, place) = self.places[index];
        let Open { replies, usage, .. } = &mut self.trials[number];
        usage.prefill_tokens += share.tokens;
        usage.prefill_seconds += share.prefill;
        // The first token of each answer came out of prefill.
        usage.decode_tokens += reply.tokens.saturating_sub(1);
        usage.decode_seconds += share.decode;
        replies[place] = Some(reply);
        let whole = replies.iter().all(Option::is_some);
        whole.then(|| (number, replies.drain(..).flatten().collect(), usage.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::{FinishReason, Question, Sampling};

    fn trial(questions: usize) -> Trial {
        let question = |number: usize| Question { id: number.to_string(), text: String::new(), max_tokens: 9 };
        Trial { questions: (0..questions).map(question).collect(), sampling: Sampling::default() }
    }

    fn reply(text: &str) -> Reply {
        Reply { text: text.into(), tokens: 3, finish_reason: FinishReason::Stop }
    }

    #[test]
    fn a_trial_comes_out_with_its_last_reply_and_its_share() {
        let prefix = Prefix { started: Instant::now(), tokens: 101, seconds: 4.0 };
        // The prefix of 105 tokens was held up to the last 101; conversations have 2, 3 and 4 tokens of their own, of which
        // those of the second were read as another's.
        let conversations = [vec![0; 107], vec![0; 108], vec![0; 109]];
        let mut gathering = Gathering::new(&[trial(2), trial(1)], prefix, &conversations);
        let share = |prefill, decode, tokens| Share { prefill, decode, tokens };
        assert_eq!(gathering.add(1, reply("second"), share(0.5, 1.0, 0)), None);
        let (number, replies, usage) = gathering.add(2, reply("other"), share(0.25, 8.0, 4)).expect("the second trial");
        assert_eq!((number, replies.len(), usage.prefill_tokens, usage.prompt_tokens), (1, 1, 54, 109));
        assert_eq!((usage.prefill_seconds, usage.decode_seconds, usage.decode_tokens), (2.25, 8.0, 2));
        let (number, replies, usage) = gathering.add(0, reply("first"), share(0.5, 2.0, 2)).expect("the first trial");
        let texts: Vec<&str> = replies.iter().map(|reply| reply.text.as_str()).collect();
        assert_eq!((number, texts, usage.prefill_tokens), (0, vec!["first", "second"], 51 + 2));
        assert_eq!((usage.prefill_seconds, usage.decode_seconds, usage.decode_tokens), (3.0, 3.0, 4));
    }
}
