//! Notices an answer that goes in circles.

/// Longest circle looked for, in tokens.
const LONGEST: usize = 200;

/// Where the repetition begins if `ids` ends in the same run of tokens over and over: the end of the run's first
/// occurrence. A run counts when it came at least three times in a row and its repetitions fill 40 tokens or more;
/// single tokens (rules of dashes, say) only after 40 of them.
pub fn circle_start(ids: &[u32]) -> Option<usize> {
    let longest = LONGEST.min(ids.len() / 3);
    (1..=longest).find_map(|period| {
        let repeated = ids.iter().rev().zip(ids[..ids.len() - period].iter().rev()).take_while(|(a, b)| a == b).count();
        let enough = repeated >= 2 * period && repeated >= 40;
        enough.then(|| ids.len() - repeated)
    })
}

#[cfg(test)]
mod tests {
    use super::circle_start;

    #[test]
    fn prose_is_no_circle() {
        let ids: Vec<u32> = (0..500).map(|i| i * i % 263).collect();
        assert_eq!(circle_start(&ids), None);
        assert_eq!(circle_start(&[]), None);
        assert_eq!(circle_start(&[7; 20]), None);
    }

    #[test]
    fn keeps_the_first_occurrence() {
        let mut ids: Vec<u32> = (100..130).collect();
        ids.extend((0..20).cycle().take(60));
        assert_eq!(circle_start(&ids), Some(50));
        assert_eq!(circle_start(&ids[..80]), None, "twice is not yet a circle");
        assert_eq!(circle_start(&[[1, 2, 3].as_slice(), &[9; 60]].concat()), Some(4));
    }
}
