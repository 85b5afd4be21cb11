//! Attention of a whole batch as tables: which block of threads looks at which keys, and whose results are added up.
//!
//! Prefill, decoding and cascade decoding differ by their tables only. A shared prefix is one job of all tokens, so that its
//! keys are read once for all branches; each branch's own tail is another. Where few rows would leave processors idle the
//! keys of a job are split. The tables hold for all layers; which caches they are of is told by each layer's jobs.

use super::{
    arguments::Task,
    launch::{Kind, Tile},
};

/// What a plan has to know of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chip {
    pub processors: usize,
    /// Whether Hopper's own kernels are to be taken where there are any.
    pub hopper: bool,
}

/// A job without its addresses: `tokens` tokens from `first_token` on look at `length` keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub length: usize,
    pub first_token: usize,
    pub tokens: usize,
    /// Whether the keys are kept as bytes.
    pub rounded: bool,
}

/// Tasks of one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub tile: Tile,
    pub rounded: bool,
    pub tasks: Vec<Task>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub parts: Vec<Part>,
    /// Partial results, each of all heads.
    pub partials: usize,
    /// Those of each token: `list[starts[token]..starts[token + 1]]`.
    pub starts: Vec<i32>,
    pub list: Vec<i32>,
}

/// Fewest keys worth a block of threads of their own.
const SPLIT_KEYS: usize = 256;
/// Keys of a block that is rounded to bytes (`tiles::BLOCK`).
pub const BLOCK: usize = 64;
/// Keys that all tiles divide.
const ALIGNED: usize = 128;
/// Blocks of threads that a processor takes at a time.
const RESIDENT: usize = 2;

impl Plan {
    /// For a batch of `tokens` tokens. `head_dim` is one that [`Tile::new`] takes.
    pub fn new(
        (heads, kv_heads, head_dim): (usize, usize, usize),
        spans: &[Span],
        tokens: usize,
        chip: Chip,
    ) -> Option<Plan> {
        let group = heads / kv_heads;
        let mut plan = Plan { parts: Vec::new(), partials: 0, starts: vec![0], list: Vec::new() };
        let mut found = vec![Vec::new(); tokens];
        for (job, span) in spans.iter().enumerate().filter(|(_, span)| span.length > 0 && span.tokens > 0) {
            let rows = span.tokens * group;
            let tile = Tile::new(head_dim, kind(rows, head_dim, span.rounded, chip)?)?;
            let row_tiles = rows.div_ceil(tile.rows());
            let splits = splits(span.length, row_tiles * kv_heads, chip.processors);
            let keys = span.length.div_ceil(splits).next_multiple_of(ALIGNED);
            for first_key in (0..span.length).step_by(keys) {
                let end_key = (first_key + keys).min(span.length);
                let partial = plan.partials;
                plan.partials += span.tokens;
                for (token, own) in found[span.first_token..span.first_token + span.tokens].iter_mut().enumerate() {
                    own.push((partial + token) as i32);
                }
                let part = plan.part(tile, span.rounded);
                part.tasks.extend((0..row_tiles).map(|number| Task {
                    job: job as i32,
                    row: (number * tile.rows()) as i32,
                    first_key: first_key as i32,
                    end_key: end_key as i32,
                    partial: partial as i32,
                    unused: 0,
                }));
            }
        }
        for own in found {
            plan.list.extend(own);
            plan.starts.push(plan.list.len() as i32);
        }
        Some(plan)
    }

    /// Whether each token has one partial result, which then is its result.
    pub fn direct(&self) -> bool {
        self.starts.windows(2).all(|pair| pair[1] - pair[0] == 1)
    }

    fn part(&mut self, tile: Tile, rounded: bool) -> &mut Part {
        let same = |part: &Part| part.tile == tile && part.rounded == rounded;
        let at = self.parts.iter().position(same).unwrap_or_else(|| {
            self.parts.push(Part { tile, rounded, tasks: Vec::new() });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }
}

/// For `rows` stacked rows. Hopper's kernels take no keys that are kept as bytes, nor heads that do not fill their tiles.
/// `None` as [`Tile::new`].
fn kind(rows: usize, head_dim: usize, rounded: bool, chip: Chip) -> Option<Kind> {
    const FEW: usize = 16;
    let fills = Tile::new(head_dim, Kind::Hopper)?.head == head_dim;
    Some(match (rows <= FEW, chip.hopper && !rounded && fills) {
        (true, _) => Kind::Narrow,
        (false, true) => Kind::Hopper,
        (false, false) => Kind::Wide,
    })
}

/// Parts that `length` keys are looked at in, where all of them at once would be `blocks` blocks of threads.
fn splits(length: usize, blocks: usize, processors: usize) -> usize {
    let wanted = (RESIDENT * processors) / blocks.max(1);
    wanted.min(length / SPLIT_KEYS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each token's queries look at each key of each of its spans once, in tiles that hold all rows.
    #[track_caller]
    fn check(shape: (usize, usize, usize), spans: &[Span], tokens: usize, chip: Chip) -> Plan {
        let plan = Plan::new(shape, spans, tokens, chip).expect("such heads have a kernel");
        let group = shape.0 / shape.1;
        let mut results = vec![0; plan.partials];
        for (job, span) in spans.iter().enumerate() {
            let mut seen = vec![vec![0; span.length]; span.tokens * group];
            for part in plan.parts.iter().filter(|part| part.rounded == span.rounded) {
                for task in part.tasks.iter().filter(|task| task.job == job as i32) {
                    assert!((task.first_key as usize).is_multiple_of(ALIGNED), "{task:?}");
                    for row in seen.iter_mut().skip(task.row as usize).take(part.tile.rows()) {
                        row[task.first_key as usize..task.end_key as usize].iter_mut().for_each(|key| *key += 1);
                    }
                    if task.row == 0 {
                        let partials = task.partial as usize..task.partial as usize + span.tokens;
                        results[partials].iter_mut().for_each(|count| *count += 1);
                    }
                }
            }
            assert!(seen.iter().flatten().all(|count| *count == 1), "every key once: {span:?}");
        }
        assert!(results.iter().all(|count| *count == 1), "every partial result is written once");
        let mut listed = plan.list.clone();
        listed.sort_unstable();
        assert!(listed.iter().copied().eq(0..plan.partials as i32), "every partial result is added once");
        assert_eq!(plan.starts.len(), tokens + 1);
        plan
    }

    const CHIPS: [Chip; 2] = [Chip { processors: 132, hopper: false }, Chip { processors: 132, hopper: true }];

    fn span(length: usize, first_token: usize, tokens: usize) -> Span {
        Span { length, first_token, tokens, rounded: false }
    }

    #[test]
    fn prefill_is_one_wide_part_whose_results_are_final() {
        for (chip, kind) in CHIPS.into_iter().zip([Kind::Wide, Kind::Hopper]) {
            let plan = check((32, 8, 128), &[span(5000, 0, 1024)], 1024, chip);
            assert!(plan.direct() && plan.parts.len() == 1 && plan.parts[0].tile.kind == kind);
        }
    }

    #[test]
    fn keys_in_bytes_and_heads_of_other_lengths_are_not_for_hoppers_kernels() {
        let kind = |head_dim, rounded| {
            let plan = check((32, 8, head_dim), &[Span { rounded, ..span(640, 0, 100) }], 100, CHIPS[1]);
            plan.parts[0].tile.kind
        };
        assert_eq!([(128, true), (96, false), (192, false)].map(|(dim, rounded)| kind(dim, rounded)), [Kind::Wide; 3]);
        assert_eq!([64, 128, 256].map(|dim| kind(dim, false)), [Kind::Hopper; 3]);
    }

    #[test]
    fn branches_share_the_prefix_and_have_tails_of_their_own() {
        let mut spans = vec![span(75_000, 0, 24)];
        spans.extend((0..24).map(|branch| span(1 + branch * 17, branch, 1)));
        let plan = check((32, 8, 128), &spans, 24, CHIPS[0]);
        let prefix: Vec<_> = plan.parts[0].tasks.iter().filter(|task| task.job == 0).collect();
        // All 96 rows of a key head in one tile: each key is read once.
        assert!(plan.parts[0].tile.kind == Kind::Wide && prefix.iter().all(|task| task.row == 0));
        assert!(prefix.len() * 8 >= 132, "{} tasks leave processors idle", prefix.len());
        assert_eq!(plan.parts[1].tasks.len(), 24);
    }

    #[test]
    fn ragged_batches_of_all_shapes() {
        for shape in [(9, 3, 64), (14, 2, 64), (8, 8, 96), (4, 1, 256), (40, 8, 80)] {
            for prefix in [0, 1, 63, 64, 700, 3000] {
                let rounded = Span { rounded: true, ..span(prefix / 64 * 64, 0, 6) };
                let spans = [rounded, span(prefix % 64, 0, 6), span(1, 0, 1), span(40, 1, 3), span(300, 4, 2)];
                let there: Vec<Span> = spans.into_iter().filter(|span| span.length > 0).collect();
                for processors in [1, 46, 132] {
                    for hopper in [false, true] {
                        check(shape, &there, 6, Chip { processors, hopper });
                    }
                }
            }
        }
    }

    #[test]
    fn heads_that_no_kernel_takes() {
        for head_dim in [0, 8, 72, 272] {
            assert_eq!(Plan::new((4, 2, head_dim), &[span(10, 0, 1)], 1, CHIPS[0]), None);
        }
    }
}
