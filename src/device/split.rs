//! Which of a model's layers compute where: as many of the last ones on GPUs as there is room for, those before them on the
//! CPU, so that what flows through the layers seldom changes its place.

use std::str::FromStr;

/// How many of a model's layers, counted from the last, are to be on GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GpuLayers {
    /// As many as there is room for.
    #[default]
    Auto,
    /// So many, or all where a model has fewer.
    Exactly(usize),
}

impl GpuLayers {
    /// Whether some are wanted there for certain.
    pub fn need_gpu(self) -> bool {
        matches!(self, GpuLayers::Exactly(1..))
    }
}

impl FromStr for GpuLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(GpuLayers::Auto),
            number => number.parse().map(GpuLayers::Exactly).map_err(|_| "is neither auto nor a whole number".into()),
        }
    }
}

/// What a model takes of a GPU's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    pub layers: usize,
    /// Weights of one layer, on average.
    pub layer: u64,
    /// Of the head, which is where the last layer is.
    pub head: u64,
    /// Keys and values of one token in one layer.
    pub token: u64,
    /// Tokens whose keys and values there is to be room for where nobody says how many layers.
    pub tokens: u64,
    /// What is computed on the way, and what libraries take.
    pub working: u64,
}

impl Demand {
    /// Layers that `free` bytes of a GPU have room for, each with keys and values of `tokens` tokens.
    pub fn fits(&self, free: u64, tokens: u64) -> usize {
        // Any GPU may come to hold the head.
        let room = free.saturating_sub(self.working + self.head);
        let layer = self.layer + self.token * tokens;
        usize::try_from(room / layer.max(1)).unwrap_or(usize::MAX).min(self.layers)
    }
}

/// Layers on each of the GPUs of which so many bytes are free. One is taken where it has room for all, else all are, each in
/// proportion to its room. The error is how many would fit where those that were asked for do not.
pub fn split(demand: &Demand, asked: GpuLayers, free: &[u64]) -> Result<Vec<usize>, usize> {
    let tokens = if asked == GpuLayers::Auto { demand.tokens } else { 0 };
    let fits: Vec<usize> = free.iter().map(|free| demand.fits(*free, tokens)).collect();
    let total: usize = fits.iter().sum();
    let wanted = match asked {
        GpuLayers::Auto => demand.layers.min(total),
        GpuLayers::Exactly(layers) => demand.layers.min(layers),
    };
    if wanted > total {
        return Err(total);
    }
    if let Some(alone) = fits.iter().position(|fits| *fits >= wanted) {
        return Ok((0..free.len()).map(|gpu| if gpu == alone { wanted } else { 0 }).collect());
    }
    let mut before = 0;
    let share = |fits: &usize| {
        let from = wanted * before / total;
        before += fits;
        wanted * before / total - from
    };
    Ok(fits.iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand { layers: 32, layer: 400, head: 1000, token: 1, tokens: 100, working: 2000 };

    #[test]
    fn all_layers_go_where_there_is_room_for_them() {
        let all = 3000 + 32 * 500;
        assert_eq!(split(&DEMAND, GpuLayers::Auto, &[all]), Ok(vec![32]));
        assert_eq!(split(&DEMAND, GpuLayers::Auto, &[all - 1]), Ok(vec![31]));
        assert_eq!(split(&DEMAND, GpuLayers::Auto, &[2999]), Ok(vec![0]));
        assert_eq!(split(&DEMAND, GpuLayers::Auto, &[]), Ok(vec![]));
        assert_eq!(split(&DEMAND, GpuLayers::Auto, &[100, all]), Ok(vec![0, 32]));
    }

    #[test]
    fn what_is_asked_for_needs_room_for_its_weights_only() {
        let room = 3000 + 20 * 400;
        assert_eq!(split(&DEMAND, GpuLayers::Exactly(20), &[room]), Ok(vec![20]));
        assert_eq!(split(&DEMAND, GpuLayers::Exactly(21), &[room]), Err(20));
        assert_eq!(split(&DEMAND, GpuLayers::Exactly(99), &[1 << 40]), Ok(vec![32]));
        assert_eq!(split(&DEMAND, GpuLayers::Exactly(0), &[0]), Ok(vec![0]));
    }

    #[test]
    fn several_share_by_their_room_and_none_gets_more_than_it_has() {
        assert_eq!(split(&DEMAND, GpuLayers::Auto, &[3000 + 20 * 500; 2]), Ok(vec![16, 16]));
        for first in 0..32u64 {
            for second in 0..32u64 {
                let fits = [first, second];
                let shares = split(&DEMAND, GpuLayers::Auto, &fits.map(|fits| 3000 + fits * 500)).expect("auto fits");
                assert_eq!(shares.iter().sum::<usize>() as u64, 32.min(first + second), "{fits:?}");
                assert!(shares.iter().zip(fits).all(|(share, fits)| *share as u64 <= fits), "{fits:?} {shares:?}");
            }
        }
    }

    #[test]
    fn numbers_of_layers_are_read() {
        assert_eq!("auto".parse(), Ok(GpuLayers::Auto));
        assert_eq!("12".parse(), Ok(GpuLayers::Exactly(12)));
        for bad in ["", "-1", "all"] {
            assert!(bad.parse::<GpuLayers>().is_err(), "{bad}");
        }
    }
}
