//! LongPPL (arXiv:2410.23771): the perplexity of those tokens only that a long context foretells.

use std::ops::Range;

/// What makes a key token; the paper has 2 nats for both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// More than so many nats are saved by the whole context.
    pub saved: f64,
    /// Less than so many nats are left with it.
    pub most: f64,
}

/// A short context moves on by a quarter of itself, and only what it moved over counts: each token sees `window` tokens
/// before it at least, and a quarter more at most. Gives what is read, and the part of it that counts, for so many
/// tokens.
pub fn windows(tokens: usize, window: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let step = (window / 4).max(1);
    let starts = (0..).map(|number| number * step).take_while(|start| start + window < tokens);
    starts
        .map(|start| (start..(start + window + step).min(tokens), start + window))
        .map(|(read, from)| {
            let counted = from..read.end;
            (read, counted)
        })
        .collect()
}

/// Numbers of the key tokens: losses in nats with a short context (none where there is no more before the token than a
/// short context holds) and with the whole one.
pub fn key_tokens(short: &[Option<f64>], whole: &[f64], Thresholds { saved, most }: Thresholds) -> Vec<usize> {
    let is_key = |(short, whole): (&Option<f64>, &f64)| short.is_some_and(|s| s - whole > saved) && *whole < most;
    short.iter().zip(whole).enumerate().filter(|(_, losses)| is_key(*losses)).map(|(number, _)| number).collect()
}

/// The places of tokens in the text, neighbours together.
pub fn spans(places: &[Range<usize>], tokens: &[usize]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for place in tokens.iter().filter_map(|token| places.get(*token)).filter(|place| !place.is_empty()) {
        match spans.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => spans.push(place.clone()),
        }
    }
    spans
}

/// Numbers of the tokens that lie in one of the spans wholly: another tokenizer's, by their places in the same text.
pub fn inside(places: &[Range<usize>], spans: &[Range<usize>]) -> Vec<usize> {
    let within = |place: &Range<usize>| {
        let next = spans.partition_point(|span| span.end < place.end);
        !place.is_empty() && spans.get(next).is_some_and(|span| span.start <= place.start)
    };
    places.iter().enumerate().filter(|(_, place)| within(place)).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_tokens_are_those_that_a_long_context_foretells() {
        let (short, whole) = ([3.0, 0.5, 6.0, 2.5, 4.2], [0.5, 0.4, 3.0, 0.6, 2.3]);
        let both = Thresholds { saved: 2.0, most: 2.0 };
        assert_eq!(key_tokens(&short.map(Some), &whole, both), [0]);
        assert_eq!(key_tokens(&[None; 5], &whole, both), [] as [usize; 0]);
        // Exactly two nats are not above two.
        assert_eq!(key_tokens(&[Some(2.5), Some(2.75)], &[0.5, 0.5], both), [1]);
    }

    #[test]
    fn windows_move_on_by_a_quarter() {
        let found = windows(10_000, 4096);
        assert_eq!(found[0], (0..5120, 4096..5120));
        assert_eq!(found[1], (1024..6144, 5120..6144));
        assert_eq!(found[5], (5120..10_000, 9216..10_000));
        assert_eq!((found.len(), windows(4096, 4096).len(), windows(4097, 4096)), (6, 0, vec![(0..4097, 4096..4097)]));
    }

    #[test]
    fn tokens_of_another_tokenizer_count_where_they_lie_inside() {
        let places = [0..3, 3..5, 5..9, 9..9, 12..14];
        let spans = spans(&places, &[1, 2, 3, 4]);
        assert_eq!(spans, [3..9, 12..14]);
        assert_eq!(inside(&[0..3, 2..4, 3..4, 4..9, 9..13, 12..14, 13..14, 14..14], &spans), [2, 3, 5, 6]);
        assert_eq!(inside(&places, &spans), [1, 2, 4]);
    }
}
