//! What this machine can do at most, and what it gave while a prompt was read.

use crate::engine::Engine;
use ronbun_kernels::{
    Isa, attention,
    ceiling::{self, Look, Unit},
    packed,
};
use serde::Serialize;

/// All threads together, each at its best moment; absent is what the processor has not.
#[derive(Serialize)]
pub struct Ceilings {
    pub int8_ops_per_second: Option<f64>,
    pub bf16_tile_flops_per_second: Option<f64>,
    pub int8_tile_ops_per_second: Option<f64>,
    pub f32_flops_per_second: Option<f64>,
    pub read_bytes_per_second: f64,
}

impl Ceilings {
    pub fn look() -> Ceilings {
        let at_best = |unit| ceiling::rate(unit, Isa::current(), Look::Best);
        Ceilings {
            int8_ops_per_second: at_best(Unit::Bytes),
            bf16_tile_flops_per_second: at_best(Unit::Bf16Tiles),
            int8_tile_ops_per_second: at_best(Unit::ByteTiles),
            f32_flops_per_second: at_best(Unit::F32),
            read_bytes_per_second: ceiling::bandwidth(),
        }
    }

    /// Of these units.
    pub fn of(&self, units: [Unit; 2]) -> [Option<f64>; 2] {
        units.map(|unit| match unit {
            Unit::F32 => self.f32_flops_per_second,
            Unit::Bytes => self.int8_ops_per_second,
            Unit::Bf16Tiles => self.bf16_tile_flops_per_second,
            Unit::ByteTiles => self.int8_tile_ops_per_second,
        })
    }
}

/// What multiplies in linears and in attention on the processor, where `rows` tokens are read at once.
pub fn units(engine: &Engine, rows: usize, exact: bool) -> [Unit; 2] {
    if exact {
        return [Unit::F32; 2];
    }
    let isa = Isa::current();
    let tiles = isa == Isa::Amx && rows >= packed::FROM_ROWS;
    let byte_tiles = attention::is_in_tiles(isa, engine.decoder.config.head_dim);
    [if tiles { Unit::Bf16Tiles } else { Unit::Bytes }, if byte_tiles { Unit::ByteTiles } else { Unit::Bytes }]
}

/// What two units give from one moment to the next, while others use the machine too.
pub struct Moments {
    units: [Unit; 2],
    looks: Vec<[Option<f64>; 2]>,
}

impl Moments {
    pub fn of(units: [Unit; 2]) -> Moments {
        Moments { units, looks: Vec::new() }
    }

    pub fn look(&mut self) {
        self.looks.push(self.units.map(|unit| ceiling::rate(unit, Isa::current(), Look::Now)));
    }

    /// Of each unit, if it was looked at.
    pub fn mean(&self) -> [Option<f64>; 2] {
        [0, 1].map(|unit| {
            let sum: Option<f64> = self.looks.iter().map(|rates| rates[unit]).sum();
            sum.filter(|_| !self.looks.is_empty()).map(|sum| sum / self.looks.len() as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_averaged_and_none_give_nothing() {
        let mut moments = Moments::of([Unit::F32, Unit::Bytes]);
        assert_eq!(moments.mean(), [None, None]);
        moments.look();
        assert!(moments.mean().iter().all(|mean| mean.is_some_and(|mean| mean > 0.0)));
        moments.looks = vec![[Some(1.0), Some(5.0)], [Some(2.0), None]];
        assert_eq!(moments.mean(), [Some(1.5), None]);
    }
}
