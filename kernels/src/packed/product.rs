//! Products of rounded rows with tiles.

use super::{
    Activations, Form, PLANE, Packed, SPAN, TILE, VECTOR,
    activations::{Sums, Values},
    panels::{PANEL, Panels, Rounded},
    size, turned, wide,
};
use crate::{
    Isa, amx,
    elementwise::Activation,
    lines::Lines,
    output::Output,
    pool,
    simd::{BIAS, Simd, kernel, prefetch},
};
use std::ops::Range;

/// `y[m × rows] = x[m × columns] · Wᵀ`, plus `bias` to each row of y where there is one. Panics on wrong lengths.
pub fn linear(isa: Isa, x: &Activations, weights: Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    check(x, weights);
    assert_eq!(Some(y.len()), x.rows.checked_mul(weights.rows), "length of y");
    assert!(bias.is_none_or(|bias| bias.len() == weights.rows), "length of the bias");
    let form = Form::of(weights.kind).expect("a quantised type");
    let target = Output { start: y.as_mut_ptr(), stride: weights.rows };
    match &x.values {
        Values::Few(x) => of_few(isa, x, form, weights, bias, target),
        Values::Wide(wide) => wide::linear::<amx::Machine>(isa, (wide, x.rows), weights, bias, target),
        Values::Turned(x) => turned::linear(isa, x, weights, bias, target),
    }
}

fn check(x: &Activations, weights: Packed) {
    assert_eq!(x.columns, weights.columns, "width of x");
    assert_eq!(Some(weights.bytes.len()), size(weights.kind, weights.rows, weights.columns), "bytes of the weights");
}

/// `activation(x · gateᵀ) · (x · upᵀ)`, rounded for the next linear as x is, where that is done while the sums are at hand: for
/// long prompts where the machine multiplies tiles of bf16. Panics on wrong lengths.
pub fn gated(isa: Isa, x: &Activations, [gate, up]: [Packed; 2], activation: Activation) -> Option<Activations> {
    assert_eq!((gate.rows, gate.columns), (up.rows, up.columns), "shapes of gate and up");
    [gate, up].into_iter().for_each(|weights| check(x, weights));
    let Values::Wide(wide) = &x.values else { return None };
    gate.rows.is_multiple_of(SPAN).then(|| {
        let values = Values::Wide(wide::gated::<amx::Machine>(isa, (wide, x.rows), [gate, up], activation));
        Activations { rows: x.rows, columns: gate.rows, values }
    })
}

/// As [`linear`], of rows that are no long prompt's.
fn of_few(isa: Isa, x: &Rounded, form: Form, weights: Packed, bias: Option<&[f32]>, y: Output) {
    let sums = Sums::new(isa, x, form);
    let tiles = weights.rows.div_ceil(TILE);
    // A thread's share is rows that it has in its cache, where there are enough to make up for unpacking the weights again.
    let panels = Panels::of(x.rows);
    let parts = (x.rows / PART_ROWS).clamp(1, pool::threads());
    // Enough tasks to even out the threads, few enough to be cheap, and results that stay in the second-level cache.
    let step = (parts * tiles).div_ceil(4 * pool::threads()).next_multiple_of(TILES).min(TASK_TILES);
    let steps = tiles.div_ceil(step);
    pool::run(parts * steps, |task| {
        let (part, first) = (task / steps, task % steps * step);
        let panels = part * panels.len() / parts..(part + 1) * panels.len() / parts;
        let input = Input { x, sums: &sums, panels: (panels.start, panels.end) };
        products(isa, input, form, weights, bias, first..tiles.min(first + step), y);
    });
}

/// Fewest rows that weights are unpacked for.
const PART_ROWS: usize = 96;

/// From this many rows on weights are unpacked once for all of them, instead of for each panel.
const UNPACK_ROWS: usize = 36;

/// Rows of x and what belongs to them for one type of weights.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a Rounded,
    sums: &'a Sums,
    /// The panels that are multiplied, from the first to before the second.
    panels: (usize, usize),
}

impl Input<'_> {
    /// The panels' rows of x.
    fn rows(&self) -> Range<usize> {
        let rows = Panels::of(self.x.rows).rows_of(self.panels.0..self.panels.1);
        rows.start..rows.end.min(self.x.rows)
    }
}

/// Tiles that are multiplied at a time, at most: enough for each byte of x that is loaded to be used twice.
const TILES: usize = 2;
/// Tiles that one task works on, at most.
const TASK_TILES: usize = 8;
/// Inputs that are gone through at a time: two tiles' share of them, unpacked, stays in the second-level cache, and adding up
/// the parts of more costs nothing worth telling.
const DEPTH: usize = 5120;

kernel! {
    fn products = products_body(x: Input, form: Form, weights: Packed, bias: Option<&[f32]>, tiles: Range<usize>, y: Output)
}

#[inline(always)]
unsafe fn products_body<S: Simd>(
    x: Input,
    form: Form,
    weights: Packed,
    bias: Option<&[f32]>,
    tiles: Range<usize>,
    y: Output,
) {
    // Some tiles' groups as bytes and f32, where enough panels share the work of unpacking them.
    let unpack = x.x.rows >= UNPACK_ROWS;
    let room = DEPTH.min(weights.columns) / form.group * wide_bytes(form.group);
    let mut wide = Lines::<u8>::any(if unpack { TILES * room } else { 0 });
    // Eight rows are as many as there are registers for, with one tile.
    let together = if S::PAIRS && !(5..=PANEL).contains(&x.x.rows) { TILES } else { 1 };
    let rows = x.rows();
    let padded = Panels::of(x.x.rows).rows_of(x.panels.0..x.panels.1).len();
    let columns = tiles.start * TILE..weights.rows.min(tiles.end * TILE);
    // Where everything is added up at once there is nothing to gather.
    let direct =
        weights.columns <= DEPTH && columns.len() == tiles.len() * TILE && rows.len() == padded && bias.is_none();
    // (rows of the panels, tiles of the task, TILE)
    let width = tiles.len() * TILE;
    let mut sums = Lines::<f32>::any(if direct { 0 } else { padded * width });
    let results = match direct {
        true => y.at(rows.start, columns.start),
        false => Output { start: sums.as_mut_ptr(), stride: width },
    };
    let last_tile = weights.rows.div_ceil(TILE) - 1;
    for start in (0..weights.columns).step_by(DEPTH) {
        let groups = start / form.group..(start + DEPTH).min(weights.columns) / form.group;
        let mut tile = tiles.start;
        while tile < tiles.end {
            let parts = together.min(tiles.end - tile);
            // What comes after these: the next tiles, the first ones' next groups, or the first ones of the next task, which
            // mostly is this thread's.
            let rest = groups.end..(start + 2 * DEPTH).min(weights.columns) / form.group;
            let (next_tile, next_groups) = match (tile + parts < tiles.end, rest.is_empty()) {
                (true, _) => (tile + parts, groups.clone()),
                (false, false) => (tiles.start, rest),
                (false, true) => (tiles.end, 0..DEPTH.min(weights.columns) / form.group),
            };
            let part = |number: usize| {
                let next = form.groups_of(weights, (next_tile + number).min(last_tile), next_groups.clone());
                Part::new(weights, form, tile + number.min(parts - 1), groups.clone(), next)
            };
            let mut both = [part(0), part(1)];
            if unpack {
                let rooms = wide.chunks_exact_mut(room);
                // SAFETY: the instruction set is the caller's.
                both.iter_mut().zip(rooms).take(parts).for_each(|(part, room)| unsafe { part.widen::<S>(room) });
            }
            // SAFETY: the instruction set is the caller's; the groups are within the tiles and x, the tiles within the sums.
            unsafe {
                let out = results.at(0, (tile - tiles.start) * TILE);
                match parts {
                    2 => all_panels::<S, 2>(x, both, groups.start, out),
                    _ => all_panels::<S, 1>(x, [both[0]], groups.start, out),
                }
            }
            tile += parts;
        }
    }
    if !direct {
        let bias = bias.map(|bias| &bias[columns.clone()]);
        // SAFETY: the rows are x's and the columns are the weights'; no other task writes these columns.
        unsafe { y.put(rows, columns, &sums, width, bias) };
    }
}

/// Adds products of all rows of x with some groups, of which `group` is the first, of T tiles to `out`.
#[inline(always)]
unsafe fn all_panels<S: Simd, const T: usize>(x: Input, tiles: [Part; T], group: usize, out: Output) {
    let panels = Panels::of(x.x.rows).iter(x.panels.0..x.panels.1);
    let mut out = out;
    for (turn, (first, rows)) in panels.enumerate() {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                8 => panel::<S, 8, T>(x, tiles, first, group, turn, out),
                6 => panel::<S, 6, T>(x, tiles, first, group, turn, out),
                4 => panel::<S, 4, T>(x, tiles, first, group, turn, out),
                2 => panel::<S, 2, T>(x, tiles, first, group, turn, out),
                _ => panel::<S, 1, T>(x, tiles, first, group, turn, out),
            }
            out = out.at(rows, 0);
        }
    }
}

/// Some groups of a tile.
#[derive(Clone, Copy)]
struct Part<'a> {
    form: Form,
    packed: &'a [u8],
    /// Of the scales and offsets.
    unit: f32,
    /// The groups that are multiplied after these, for which memory is asked meanwhile.
    next: &'a [u8],
    /// The groups as they are packed, or unpacked.
    codes: *const u8,
    unpacked: bool,
}

impl<'a> Part<'a> {
    fn new(weights: Packed<'a>, form: Form, tile: usize, groups: Range<usize>, next: &'a [u8]) -> Part<'a> {
        let unit = form.unit_of(weights, tile);
        let packed = form.groups_of(weights, tile, groups);
        Part { form, packed, unit, next, codes: packed.as_ptr(), unpacked: false }
    }

    /// Takes the groups from `wide`, into which they are put as [`wide_bytes`] says.
    #[inline(always)]
    unsafe fn widen<S: Simd>(&mut self, wide: &mut [u8]) {
        let groups = self.packed.chunks_exact(self.form.group_bytes());
        for (group, wide) in groups.zip(wide.chunks_exact_mut(wide_bytes(self.form.group))) {
            let (codes, halves) = group.split_at(self.form.code_bytes());
            let (wide, factors) = wide.split_at_mut(TILE * self.form.group);
            widen_codes(self.form, codes, wide);
            // SAFETY: the instruction set is the caller's; the group has a tile's scales and, where it has them, offsets,
            // the room three factors for each.
            unsafe {
                let out = factors.as_mut_ptr().cast::<f32>();
                for at in (0..TILE).step_by(S::LANES) {
                    let factors = Factors::<S>::of_halves(self.form, halves.as_ptr().add(2 * at));
                    S::store(out.add(at), factors.scale);
                    S::store(out.add(TILE + at), factors.less);
                    S::store(out.add(2 * TILE + at), factors.offset);
                }
            }
        }
        (self.codes, self.unpacked) = (wide.as_ptr(), true);
    }
}

/// Bytes of a group that is unpacked: its codes, a byte each, then its [`Factors`], one after the other.
const fn wide_bytes(group: usize) -> usize {
    TILE * group + 3 * TILE * size_of::<f32>()
}

#[inline(always)]
fn widen_codes(form: Form, codes: &[u8], wide: &mut [u8]) {
    if form.bits == 8 {
        wide.copy_from_slice(codes);
        return;
    }
    let (low, plane) = codes.split_at(form.low_bytes());
    let pairs = wide.as_chunks_mut::<{ 2 * VECTOR }>().0;
    for (packed, wide) in low.as_chunks::<VECTOR>().0.iter().zip(pairs) {
        for i in 0..VECTOR {
            wide[i] = packed[i] & 15;
            wide[VECTOR + i] = packed[i] >> 4;
        }
    }
    if let Ok(plane) = <&[u8; PLANE]>::try_from(plane) {
        let bits = form.bits - 4;
        for (number, wide) in wide.as_chunks_mut::<VECTOR>().0.iter_mut().enumerate() {
            for (code, plane) in wide.iter_mut().zip(plane) {
                *code |= ((plane >> (number as u8 * bits)) & ((1 << bits) - 1)) << 4;
            }
        }
    }
}

/// What a group's sums are multiplied with, for a vector of outputs.
struct Factors<S: Simd> {
    scale: S::V,
    /// `-scale · BIAS`, which is exact: the scale has eleven bits.
    less: S::V,
    /// Zero where there are no offsets.
    offset: S::V,
}

impl<S: Simd> Factors<S> {
    /// From a group's scales, from the vector's first one on.
    #[inline(always)]
    unsafe fn of_halves(form: Form, halves: *const u8) -> Factors<S> {
        unsafe {
            let scale = S::load_f16(halves.cast());
            let offset = if form.offset { S::load_f16(halves.add(2 * TILE).cast()) } else { S::splat(0.0) };
            Factors { scale, less: S::mul(scale, S::splat(-BIAS)), offset }
        }
    }

    /// From those of a group that is unpacked.
    #[inline(always)]
    unsafe fn of_wide(factors: *const f32) -> Factors<S> {
        unsafe {
            let load = |number: usize| S::load(factors.add(number * TILE));
            Factors { scale: load(0), less: load(1), offset: load(2) }
        }
    }
}

/// In place of a code's bits: the group is unpacked.
const WIDE: u8 = 0;

/// Vectors of a tile's width on the narrowest instruction set.
const VECTORS: usize = 2;

/// Adds (or puts, if `group` is 0) to `out` the products of a panel, which begins with row `first` and has ROWS rows, with
/// these groups, of which `group` is the first. It is panel number `turn`, whose share of the memory after these groups is
/// asked for.
#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const T: usize>(
    x: Input,
    tiles: [Part; T],
    first: usize,
    group: usize,
    turn: usize,
    out: Output,
) {
    let Form { group: width, bits, .. } = tiles[0].form;
    unsafe {
        match (width, if tiles[0].unpacked { WIDE } else { bits }) {
            (32, 4) => panel_of::<S, ROWS, T, 32, 4>(x, tiles, first, group, turn, out),
            (32, 5) => panel_of::<S, ROWS, T, 32, 5>(x, tiles, first, group, turn, out),
            (32, 8) => panel_of::<S, ROWS, T, 32, 8>(x, tiles, first, group, turn, out),
            (32, _) => panel_of::<S, ROWS, T, 32, WIDE>(x, tiles, first, group, turn, out),
            (_, 4) => panel_of::<S, ROWS, T, 16, 4>(x, tiles, first, group, turn, out),
            (_, 6) => panel_of::<S, ROWS, T, 16, 6>(x, tiles, first, group, turn, out),
            (..) => panel_of::<S, ROWS, T, 16, WIDE>(x, tiles, first, group, turn, out),
        }
    }
}

#[inline(always)]
unsafe fn panel_of<S: Simd, const ROWS: usize, const T: usize, const GROUP: usize, const BITS: u8>(
    x: Input,
    tiles: [Part; T],
    first: usize,
    group: usize,
    turn: usize,
    out: Output,
) {
    let Input { x, sums: of_groups, panels } = x;
    let form = tiles[0].form;
    // Vectors of a tile; those of all tiles are gone through together.
    let vectors = TILE / S::LANES;
    let group_bytes = form.group_bytes();
    let code_bytes = form.code_bytes();
    let (codes_step, halves_at) =
        if BITS == WIDE { (wide_bytes(GROUP), TILE * GROUP) } else { (group_bytes, code_bytes) };
    let groups = tiles[0].packed.len() / group_bytes;
    unsafe {
        let mut a = x.codes.as_ptr().add(first * x.columns + group * GROUP * ROWS);
        let scales = x.scales.as_ptr().add(first * x.columns / SPAN);
        let from = first * x.columns / GROUP + group * ROWS;
        let mut shifts = of_groups.shifts.as_ptr().add(from);
        let mut values = of_groups.values.as_ptr();
        if form.offset {
            values = values.add(from);
        }
        let mut codes = tiles.map(|tile| tile.codes);
        let mut totals = [[[S::splat(0.0); VECTORS]; T]; ROWS];
        let mut asked = if tiles[0].next.is_empty() { usize::MAX } else { group + turn };
        for number in group..group + groups {
            if number == asked {
                for tile in &tiles {
                    prefetch(tile.next.as_ptr().wrapping_add((number - group) * group_bytes), group_bytes);
                }
                asked += panels.1 - panels.0;
            }
            let scales = scales.add(number * GROUP / SPAN * ROWS);
            let mut dots = [[[S::splat_i32(0); VECTORS]; T]; ROWS];
            for (i, dots) in dots.iter_mut().enumerate() {
                *dots = [[S::splat_i32(*shifts.add(i)); VECTORS]; T];
            }
            let mut planes = [[S::load_codes(codes[0]); VECTORS]; T];
            if matches!(BITS, 5 | 6) {
                for (planes, codes) in planes.iter_mut().zip(codes) {
                    for (v, plane) in planes.iter_mut().enumerate().take(vectors) {
                        *plane = S::load_codes(codes.add(TILE * GROUP / 2 + v * 4 * S::LANES));
                    }
                }
            }
            for pair in 0..GROUP / 8 {
                let mut u = [[[S::load_codes(codes[0]); 2]; VECTORS]; T];
                for ((u, codes), planes) in u.iter_mut().zip(codes).zip(&mut planes) {
                    for ((v, u), plane) in u.iter_mut().enumerate().zip(planes).take(vectors) {
                        *u = load_pair::<S, BITS>(codes, pair, v * 4 * S::LANES, plane);
                    }
                }
                for half in 0..2 {
                    for (i, dots) in dots.iter_mut().enumerate() {
                        let four = a.add(((2 * pair + half) * ROWS + i) * 4).cast::<i32>().read_unaligned();
                        for (dots, u) in dots.iter_mut().zip(&u) {
                            for (dot, u) in dots.iter_mut().zip(u).take(vectors) {
                                *dot = S::dot4_codes(*dot, u[half], four);
                            }
                        }
                    }
                }
            }
            for t in 0..T {
                for v in 0..vectors {
                    let at = codes[t].add(halves_at);
                    let factors = match BITS {
                        WIDE => Factors::<S>::of_wide(at.cast::<f32>().add(v * S::LANES)),
                        _ => Factors::<S>::of_halves(form, at.add(2 * v * S::LANES)),
                    };
                    for (i, (totals, dots)) in totals.iter_mut().zip(&dots).enumerate() {
                        let product = S::scaled(dots[t][v], factors.scale, factors.less);
                        totals[t][v] = S::fma(product, S::splat(*scales.add(i)), totals[t][v]);
                    }
                    if form.offset {
                        for (i, totals) in totals.iter_mut().enumerate() {
                            totals[t][v] = S::fma(factors.offset, S::splat(*values.add(i)), totals[t][v]);
                        }
                    }
                }
            }
            a = a.add(GROUP * ROWS);
            shifts = shifts.add(ROWS);
            values = values.wrapping_add(ROWS);
            codes = codes.map(|codes| codes.add(codes_step));
        }
        for (i, totals) in totals.iter().enumerate() {
            for (t, totals) in totals.iter().enumerate() {
                let unit = S::splat(tiles[t].unit);
                for (v, &total) in totals.iter().enumerate().take(vectors) {
                    let out = out.start.add(i * out.stride + t * TILE + v * S::LANES);
                    // The first groups' products replace whatever is there.
                    let before = if group == 0 { S::splat(0.0) } else { S::load(out) };
                    S::store(out, S::fma(total, unit, before));
                }
            }
        }
    }
}

/// Codes number `at` and those after it of a pair of vectors of a group. `plane` holds those bits above four that are still
/// to be used.
#[inline(always)]
pub(super) unsafe fn load_pair<S: Simd, const BITS: u8>(
    codes: *const u8,
    pair: usize,
    at: usize,
    plane: &mut S::U,
) -> [S::U; 2] {
    unsafe {
        if matches!(BITS, 8 | WIDE) {
            let from = codes.add(2 * pair * VECTOR + at);
            return [S::load_codes(from), S::load_codes(from.add(VECTOR))];
        }
        let (first, second) = S::load_nibbles(codes.add(pair * VECTOR + at));
        match BITS {
            5 => {
                let pair = [S::raise::<4, 0x10>(first, *plane), S::raise::<3, 0x10>(second, *plane)];
                *plane = S::lower::<2>(*plane);
                pair
            }
            6 => {
                let pair = [S::raise::<4, 0x30>(first, *plane), S::raise::<2, 0x30>(second, *plane)];
                *plane = S::lower::<4>(*plane);
                pair
            }
            _ => [first, second],
        }
    }
}
