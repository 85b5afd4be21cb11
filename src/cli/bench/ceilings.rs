//! What this machine can do at most, and what it gave while a prompt was read.

use crate::engine::Engine;
use ronbun_kernels::{
    Isa, attention,
    ceiling::{self, Look},
    packed,
};
use serde::Serialize;

/// All threads together, each at its best moment.
#[derive(Serialize)]
pub struct Ceilings {
    pub int8_ops_per_second: f64,
    /// Where the processor multiplies tiles: what linears over long prompts do.
    pub bf16_tile_flops_per_second: Option<f64>,
    /// The same of bytes: what attention does.
    pub int8_tile_ops_per_second: Option<f64>,
    pub f32_flops_per_second: f64,
    pub read_bytes_per_second: f64,
}

impl Ceilings {
    pub fn look() -> Ceilings {
        let isa = Isa::current();
        let in_tiles = |of: fn(Look) -> Option<f64>| of(Look::Best).filter(|_| isa == Isa::Amx);
        Ceilings {
            int8_ops_per_second: ceiling::int8(isa, Look::Best),
            bf16_tile_flops_per_second: in_tiles(ceiling::bf16_tiles),
            int8_tile_ops_per_second: in_tiles(ceiling::int8_tiles),
            f32_flops_per_second: ceiling::f32(isa, Look::Best),
            read_bytes_per_second: ceiling::bandwidth(),
        }
    }

    fn of(&self, unit: Multiplier) -> Option<f64> {
        match unit {
            Multiplier::F32 => Some(self.f32_flops_per_second),
            Multiplier::Bytes => Some(self.int8_ops_per_second),
            Multiplier::Bf16Tiles => self.bf16_tile_flops_per_second,
            Multiplier::ByteTiles => self.int8_tile_ops_per_second,
        }
    }
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplier {
    F32,
    Bytes,
    Bf16Tiles,
    ByteTiles,
}

impl Multiplier {
    fn rate(self, look: Look) -> Option<f64> {
        let isa = Isa::current();
        match self {
            Multiplier::F32 => Some(ceiling::f32(isa, look)),
            Multiplier::Bytes => Some(ceiling::int8(isa, look)),
            Multiplier::Bf16Tiles => ceiling::bf16_tiles(look),
            Multiplier::ByteTiles => ceiling::int8_tiles(look),
        }
    }
}

/// What multiplies in linears, and in attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    pub linears: Multiplier,
    pub attention: Multiplier,
}

impl Units {
    /// Of the processor, where `rows` tokens are read at once.
    pub fn of(engine: &Engine, rows: usize, exact: bool) -> Units {
        if exact {
            return Units { linears: Multiplier::F32, attention: Multiplier::F32 };
        }
        let isa = Isa::current();
        let tiles = isa == Isa::Amx && rows >= packed::FROM_ROWS;
        let byte_tiles = attention::is_in_tiles(isa, engine.decoder.config.head_dim);
        Units {
            linears: if tiles { Multiplier::Bf16Tiles } else { Multiplier::Bytes },
            attention: if byte_tiles { Multiplier::ByteTiles } else { Multiplier::Bytes },
        }
    }

    /// What these can do at most: linears', attention's.
    pub fn at_best(self, ceilings: &Ceilings) -> [Option<f64>; 2] {
        [self.linears, self.attention].map(|unit| ceilings.of(unit))
    }
}

/// What units give from one moment to the next, while others use the machine too.
pub struct Moments {
    units: Units,
    sums: [f64; 2],
    looks: usize,
}

impl Moments {
    pub fn of(units: Units) -> Moments {
        Moments { units, sums: [0.0; 2], looks: 0 }
    }

    pub fn look(&mut self) {
        let Units { linears, attention } = self.units;
        let rates = [linears, attention].map(|unit| unit.rate(Look::Now).unwrap_or(f64::NAN));
        self.sums.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
        self.looks += 1;
    }

    /// The mean of all looks: linears', attention's.
    pub fn mean(&self) -> [Option<f64>; 2] {
        self.sums.map(|sum| (self.looks > 0).then(|| sum / self.looks as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_averaged_and_none_give_nothing() {
        let mut moments = Moments::of(Units { linears: Multiplier::F32, attention: Multiplier::Bytes });
        assert_eq!(moments.mean(), [None, None]);
        moments.look();
        assert!(moments.mean().iter().all(|mean| mean.is_some_and(|mean| mean > 0.0)));
        (moments.sums, moments.looks) = ([6.0, 2.0], 4);
        assert_eq!(moments.mean(), [Some(1.5), Some(0.5)]);
    }
}
