//! Edits logits before a token is drawn, so that small models do not repeat themselves.

use super::SamplingParams;

/// Tokens of an answer that the repetition penalty looks back on.
const PENALTY_WINDOW: usize = 256;
/// DRY: a repeated run may be this long before it costs anything; names, titles and addresses come again.
const DRY_ALLOWED: usize = 10;
/// DRY: each further token of the run multiplies its cost by this.
const DRY_BASE: f32 = 1.75;
/// DRY: the most that a repetition costs, in logits.
const DRY_MOST: f32 = 6.0;
/// DRY: longest run looked at.
const DRY_LONGEST: usize = 32;

/// Penalises what would repeat this answer. An answer may quote the paper freely, as often as it likes.
#[derive(Debug, Clone)]
pub struct LogitsProcessor {
    repetition_penalty: f32,
    dry_multiplier: f32,
}

impl LogitsProcessor {
    pub fn new(params: &SamplingParams) -> Self {
        LogitsProcessor { repetition_penalty: params.repetition_penalty, dry_multiplier: params.dry_multiplier }
    }

    /// `written` is what the answer holds so far, `prompt` the parts of what it answers.
    pub fn process(&self, logits: &mut [f32], written: &[u32], prompt: &[&[u32]]) {
        if self.repetition_penalty != 1.0 {
            let mut recent: Vec<u32> = written[written.len().saturating_sub(PENALTY_WINDOW)..].to_vec();
            recent.sort_unstable();
            recent.dedup();
            for id in recent {
                let logit = &mut logits[id as usize];
                *logit = if *logit > 0.0 { *logit / self.repetition_penalty } else { *logit * self.repetition_penalty };
            }
        }
        if self.dry_multiplier > 0.0 {
            for (id, run) in continued_runs(written) {
                let quoted = [&written[written.len() - run..], &[id]].concat();
                if !prompt.iter().any(|part| part.windows(quoted.len()).any(|window| window == quoted)) {
                    let cost = self.dry_multiplier * DRY_BASE.powi((run - DRY_ALLOWED) as i32);
                    logits[id as usize] -= cost.min(DRY_MOST);
                }
            }
        }
    }
}

/// Tokens that would go on with a run that the answer's end repeats, each with the longest such run's length,
/// [`DRY_ALLOWED`] or more.
fn continued_runs(written: &[u32]) -> Vec<(u32, usize)> {
    let mut runs: Vec<(u32, usize)> = Vec::new();
    let Some((&last, _)) = written.split_last() else { return runs };
    for end in (0..written.len() - 1).filter(|&end| written[end] == last) {
        let run = written[..=end].iter().rev().zip(written.iter().rev()).take(DRY_LONGEST).take_while(|(a, b)| a == b);
        let run = run.count();
        if run >= DRY_ALLOWED {
            let next = written[end + 1];
            match runs.iter_mut().find(|(id, _)| *id == next) {
                Some((_, longest)) => *longest = (*longest).max(run),
                None => runs.push((next, run)),
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve tokens, a break, and the first `again` of them once more.
    fn repeating(again: u32) -> Vec<u32> {
        (0..12).chain([50]).chain(0..again).collect()
    }

    #[test]
    fn runs_that_would_go_on() {
        assert_eq!(continued_runs(&repeating(10)), [(10, 10)]);
        assert_eq!(continued_runs(&repeating(9)), []);
        assert_eq!(continued_runs(&[]), []);
    }

    #[test]
    fn penalties() {
        let params = SamplingParams { repetition_penalty: 2.0, dry_multiplier: 1.0, ..SamplingParams::greedy() };
        let mut logits = [4.0, -4.0, 1.0, 1.0];
        LogitsProcessor::new(&params).process(&mut logits, &[0, 1, 0], &[]);
        assert_eq!(logits, [2.0, -8.0, 1.0, 1.0]);

        let dry = LogitsProcessor::new(&SamplingParams { repetition_penalty: 1.0, ..params });
        let after = |again: u32, prompt: &[u32]| {
            let mut logits = [0.0; 64];
            dry.process(&mut logits, &repeating(again), &[prompt]);
            logits[again as usize]
        };
        assert_eq!((after(9, &[]), after(10, &[]), after(11, &[])), (0.0, -1.0, -1.75));
        let paper: Vec<u32> = (0..30).collect();
        assert_eq!(after(11, &paper), 0.0, "what the paper says may be said again");
        let mut logits = [0.0; 64];
        let long: Vec<u32> = (0..40).chain([50]).chain(0..39).collect();
        dry.process(&mut logits, &long, &[]);
        assert_eq!(logits[39], -DRY_MOST);
    }
}
