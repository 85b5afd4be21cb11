//! Kernels by name, and the grids that they are launched with.

use super::{arguments, plan::Part};

/// 16-bit types of activations, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    Bf16,
    F16,
}

impl Float {
    pub const fn name(self) -> &'static str {
        match self {
            Float::Bf16 => "bf16",
            Float::F16 => "f16",
        }
    }
}

/// A kernel, and what it is launched with. Sizes are `cuda/tiles.h`'s; a test compares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub kernel: String,
    /// Of `kernel`: the file in `cuda/` without its ending.
    pub file: &'static str,
    pub grid: (u32, u32),
    pub threads: u32,
    /// Bytes of a block.
    pub shared: u32,
}

const THREADS: u32 = 128;
/// The file that is compiled for sm_90a alone.
pub const HOPPER: &str = "attend_hopper";

/// How a block of threads works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Few rows, whose keys the warps share.
    Narrow,
    /// Many rows, for all of which keys are loaded once.
    Wide,
    /// The same by Hopper's own means, for heads that fill a tile: of 64, 128 or 256 elements.
    Hopper,
}

/// The tile of queries and keys that a block of threads works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Elements of a head that there is room for.
    pub head: usize,
    pub kind: Kind,
}

impl Tile {
    /// The smallest tile for heads of `head_dim` elements, or `None` where no kernel takes such heads.
    pub fn new(head_dim: usize, kind: Kind) -> Option<Tile> {
        let head = [64, 128, 256].into_iter().find(|head| head_dim <= *head)?;
        (head_dim > 0 && head_dim.is_multiple_of(16)).then_some(Tile { head, kind })
    }

    /// Stacked rows.
    pub const fn rows(self) -> usize {
        match (self.kind, self.head) {
            (Kind::Narrow, _) => 16,
            (Kind::Wide, 256) => 64,
            _ => 128,
        }
    }

    const fn keys(self) -> usize {
        let keys = if self.head == 256 { 32 } else { 64 };
        if matches!(self.kind, Kind::Hopper) { 2 * keys } else { keys }
    }

    const fn threads(self) -> usize {
        match (self.kind, self.head) {
            (Kind::Hopper, _) => 384,
            (Kind::Narrow, 256) => 64,
            _ => 128,
        }
    }

    /// Queries, four tiles of keys or values, limits of rows; and barriers where a ring of tiles begins at a multiple of 1024.
    const fn shared(self) -> usize {
        let tiles = 2 * (self.rows() * self.head + 4 * self.keys() * self.head) + 8 * self.rows();
        if matches!(self.kind, Kind::Hopper) { tiles + (2 * 4 + 1) * 8 + 1024 } else { tiles }
    }
}

/// Attention of a part of a plan.
pub fn attention(float: Float, part: &Part, kv_heads: usize) -> Launch {
    let Tile { head, kind } = part.tile;
    let name = match kind {
        Kind::Narrow => "narrow",
        Kind::Wide => "wide",
        Kind::Hopper => "hopper",
    };
    let kept = if part.rounded { "_i8" } else { "" };
    let file = match (kind, head) {
        (Kind::Hopper, _) => HOPPER,
        (_, 64) => "attend_64",
        (_, 128) => "attend_128",
        _ => "attend_256",
    };
    Launch {
        kernel: format!("attend_{}_{head}_{name}{kept}", float.name()),
        file,
        grid: (part.tasks.len() as u32, kv_heads as u32),
        threads: part.tile.threads() as u32,
        shared: part.tile.shared() as u32,
    }
}

pub fn merge(float: Float, merge: &arguments::Merge) -> Launch {
    plain(format!("merge_{}", float.name()), (merge.tokens as u32, merge.heads as u32))
}

pub fn append(float: Float, append: &arguments::Append) -> Launch {
    let heads = append.heads as i64 + 2 * append.kv_heads as i64;
    let pairs = append.tokens as i64 * heads * (append.head_dim as i64 / 2);
    plain(format!("append_{}", float.name()), (blocks_for(pairs), 1))
}

/// Rounding of `blocks` blocks.
pub fn round(float: Float, round: &arguments::Round, blocks: usize) -> Launch {
    plain(format!("round_{}", float.name()), (blocks as u32, round.kv_heads as u32))
}

/// A norm of f32 rows, or of rows of the 16-bit type that it gives.
pub fn rms_norm(float: Float, from_f32: bool, norm: &arguments::RmsNorm) -> Launch {
    let (from, to) = (if from_f32 { "f32" } else { float.name() }, float.name());
    let blocks = norm.rows * i64::from(norm.parts);
    Launch { shared: THREADS / 32 * 4, ..plain(format!("rms_norm_{from}_{to}"), (blocks as u32, 1)) }
}

/// The activation is `silu` or `gelu`.
pub fn gate(float: Float, activation: &str, gate: &arguments::Gate) -> Launch {
    plain(format!("{activation}_{}", float.name()), (gate.rows as u32, (gate.width as u32).div_ceil(THREADS)))
}

pub fn add(float: Float, add: &arguments::Add) -> Launch {
    plain(format!("add_{}", float.name()), (blocks_for(add.count), 1))
}

pub fn bias(float: Float, bias: &arguments::Bias) -> Launch {
    plain(format!("bias_{}", float.name()), (blocks_for(bias.count), 1))
}

pub fn convolve(float: Float, convolve: &arguments::Convolve) -> Launch {
    let stretches = (convolve.channels as u32).div_ceil(THREADS);
    plain(format!("convolve_{}", float.name()), (convolve.tokens as u32, stretches))
}

/// Blocks for a thread an element; threads take several where there are very many.
fn blocks_for(count: i64) -> u32 {
    (count as u64).div_ceil(u64::from(THREADS)).clamp(1, 1 << 20) as u32
}

fn plain(kernel: String, grid: (u32, u32)) -> Launch {
    Launch { kernel, file: "elementwise", grid, threads: THREADS, shared: 0 }
}
