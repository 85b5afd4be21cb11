//! The gutters between a page's columns, from what stands beside them.

use super::lines::{Line, Rect};

/// Height of the rows in which evidence for a gutter is counted, in points.
const BIN: f32 = 4.0;

/// The middles of the gutters between a page's columns: none, one, or more where all columns are of one width.
pub fn gutters(runs: &[Line]) -> Vec<f32> {
    let Some(first) = gutter(runs) else { return Vec::new() };
    let (left, rest): (Vec<Line>, Vec<Line>) = runs.iter().cloned().partition(|run| run.bbox.right <= first + 1.0);
    let right: Vec<Line> = rest.into_iter().filter(|run| run.bbox.left >= first - 1.0).collect();
    let all: Vec<f32> = gutter(&left).into_iter().chain([first]).chain(gutter(&right)).collect();
    let Some(area) = area(runs).filter(|_| all.len() > 1) else { return vec![first] };
    let starts = std::iter::once(area.left).chain(all.iter().copied());
    let widths: Vec<f32> = starts.zip(all.iter().copied().chain([area.right])).map(|(from, to)| to - from).collect();
    let mean = area.width() / widths.len() as f32;
    if widths.iter().all(|width| (width - mean).abs() < 0.15 * mean) { all } else { vec![first] }
}

/// The middle of the gutter between two columns, if the page has them.
pub fn gutter(runs: &[Line]) -> Option<f32> {
    let area = area(runs)?;
    let best =
        candidates(area).filter_map(|x| Evidence::at(runs, area, x)).max_by(|a, b| a.score.total_cmp(&b.score))?;
    best.convinces().then(|| best.middle(runs))
}

/// The gutters of most of a paper's pages, if it is set in columns.
pub fn usual(pages: &[Vec<f32>]) -> Option<Vec<f32>> {
    let count = (1..=4).max_by_key(|count| pages.iter().filter(|gutters| gutters.len() == *count).count())?;
    let certain: Vec<&Vec<f32>> = pages.iter().filter(|gutters| gutters.len() == count).collect();
    if certain.len() < 2 || 2 * certain.len() < pages.len() {
        return None;
    }
    Some((0..count).map(|index| median(certain.iter().map(|gutters| gutters[index]).collect())).collect())
}

/// For a page without convincing evidence in a paper set in columns: the gutters near those `expected`, if anything is
/// there.
pub fn near(runs: &[Line], expected: &[f32]) -> Option<Vec<f32>> {
    expected.iter().map(|expected| gutter_near(runs, *expected)).collect()
}

fn gutter_near(runs: &[Line], expected: f32) -> Option<f32> {
    let area = area(runs)?;
    let near = (-5..=5).map(|step| expected + 2.0 * step as f32);
    let best = near.filter_map(|x| Evidence::at(runs, area, x)).max_by(|a, b| a.score.total_cmp(&b.score))?;
    (best.paired >= 8 && best.left_cover.max(best.right_cover) > 0.6).then(|| best.middle(runs))
}

fn area(runs: &[Line]) -> Option<Rect> {
    let area = runs.iter().map(|run| run.bbox).reduce(Rect::union)?;
    (area.width() > 100.0 && area.width() < 20_000.0 && area.bottom - area.top < 20_000.0).then_some(area)
}

fn candidates(area: Rect) -> impl Iterator<Item = f32> {
    let (from, to) = (area.left + 0.25 * area.width(), area.left + 0.75 * area.width());
    let step = (area.width() / 300.0).max(1.0);
    (0..=((to - from) / step) as usize).map(move |index| from + step * index as f32)
}

/// What speaks for a gutter at `x`.
struct Evidence {
    x: f32,
    /// Rows with text on both sides and none across.
    paired: usize,
    /// Rows with text across.
    crossed: usize,
    /// Median share of each column's width that its rows fill: near 1 in prose, less in tables.
    left_cover: f32,
    right_cover: f32,
    score: f32,
}

impl Evidence {
    fn at(runs: &[Line], area: Rect, x: f32) -> Option<Evidence> {
        let bins = ((area.bottom - area.top) / BIN) as usize + 1;
        let (mut left, mut right, mut crossed) = (vec![0.0_f32; bins], vec![0.0_f32; bins], vec![false; bins]);
        for run in runs {
            let first = ((run.baseline - 0.7 * run.size - area.top).max(0.0) / BIN) as usize;
            let last = (((run.baseline - area.top).max(0.0) / BIN) as usize).min(bins - 1);
            // Names and table cells show that something is there, but only longer runs are signs of prose.
            let width = if run.bbox.width() >= 6.0 * run.size { run.bbox.width() } else { 0.01 };
            for bin in first.min(last)..=last {
                if run.bbox.right <= x + 1.0 {
                    left[bin] += width;
                } else if run.bbox.left >= x - 1.0 {
                    right[bin] += width;
                } else {
                    crossed[bin] = true;
                }
            }
        }
        let paired: Vec<usize> =
            (0..bins).filter(|&bin| left[bin] > 0.0 && right[bin] > 0.0 && !crossed[bin]).collect();
        if paired.len() < 3 {
            return None;
        }
        let cover = |side: &[f32], width: f32| median(paired.iter().map(|&bin| side[bin] / width.max(1.0)).collect());
        let (left_cover, right_cover) = (cover(&left, x - area.left), cover(&right, area.right - x));
        let crossed = crossed.iter().filter(|crossed| **crossed).count();
        let score = paired.len() as f32 * (0.2 + left_cover.min(1.0) * right_cover.min(1.0));
        Some(Evidence { x, paired: paired.len(), crossed, left_cover, right_cover, score })
    }

    fn convinces(&self) -> bool {
        let prose = self.left_cover > 0.6 && self.right_cover > 0.6;
        let half_prose = self.left_cover.max(self.right_cover) > 0.7 && self.left_cover.min(self.right_cover) > 0.25;
        (prose && self.paired >= 10 && 4 * self.paired > self.crossed)
            || (half_prose && self.paired >= 25 && 2 * self.paired > self.crossed)
    }

    /// The middle of the white stripe around `x`.
    fn middle(&self, runs: &[Line]) -> f32 {
        let rights: Vec<f32> = runs.iter().filter(|run| run.chars > 8).map(|run| run.bbox.right).collect();
        let lefts: Vec<f32> = runs.iter().filter(|run| run.chars > 8).map(|run| run.bbox.left).collect();
        let from = rights.into_iter().filter(|right| *right <= self.x + 1.0).fold(f32::MIN, f32::max);
        let to = lefts.into_iter().filter(|left| *left >= self.x - 1.0).fold(f32::MAX, f32::min);
        if from > f32::MIN && to < f32::MAX && to > from { (from + to) / 2.0 } else { self.x }
    }
}

pub fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
