//! Products of rounded rows with tiles.

use super::{
    Activations, Form, HEADER, PLANE, Packed, SPAN, TILE, VECTOR,
    activations::{PANEL, Panels, Sums},
    size,
};
use crate::{
    Isa,
    lines::Lines,
    output::Output,
    pool,
    simd::{Simd, kernel},
};

/// `y[m × rows] = x[m × columns] · Wᵀ`, plus `bias` to each row of y where there is one. Panics on wrong lengths.
pub fn linear(isa: Isa, x: &Activations, weights: Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    assert_eq!(x.columns, weights.columns, "width of x");
    assert_eq!(Some(weights.bytes.len()), size(weights.kind, weights.rows, weights.columns), "bytes of the weights");
    assert_eq!(Some(y.len()), x.rows.checked_mul(weights.rows), "length of y");
    assert!(bias.is_none_or(|bias| bias.len() == weights.rows), "length of the bias");
    let form = Form::of(weights.kind).expect("a quantised type");
    let target = Output { start: y.as_mut_ptr(), stride: weights.rows };
    let sums = x.sums(isa, form);
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
        products(isa, input, form, weights, bias, first..tiles.min(first + step), target);
    });
}

/// Fewest rows that weights are unpacked for.
const PART_ROWS: usize = 96;

/// Rows of x and what belongs to them for one type of weights.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a Activations,
    sums: &'a Sums,
    /// The panels that are multiplied, from the first to before the second.
    panels: (usize, usize),
}

impl Input<'_> {
    /// The panels' rows of x.
    fn rows(&self) -> std::ops::Range<usize> {
        let rows = Panels::of(self.x.rows).rows_of(self.panels.0..self.panels.1);
        rows.start..rows.end.min(self.x.rows)
    }
}

/// Tiles that are multiplied at a time, at most: enough for each byte of x that is loaded to be used twice.
const TILES: usize = 2;
/// Tiles that one task works on, at most.
const TASK_TILES: usize = 8;
/// Inputs that are gone through at a time: some tiles' share of them stays in the first-level cache, that of 512 activations
/// in the second.
const DEPTH: usize = 1024;

kernel! {
    fn products = products_body(x: Input, form: Form, weights: Packed, bias: Option<&[f32]>, tiles: std::ops::Range<usize>, y: Output)
}

#[inline(always)]
unsafe fn products_body<S: Simd>(
    x: Input,
    form: Form,
    weights: Packed,
    bias: Option<&[f32]>,
    tiles: std::ops::Range<usize>,
    y: Output,
) {
    // The codes of some tiles, a byte each, where several panels share the work of unpacking them.
    let unpack = form.bits < 8 && x.x.rows > PANEL;
    let depth = DEPTH.min(weights.columns);
    let mut wide = Lines::<u8>::any(if unpack { TILES * TILE * depth } else { 0 });
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
        // SAFETY: the rows and columns are those of y.
        true => Output { start: unsafe { y.start.add(rows.start * y.stride + columns.start) }, stride: y.stride },
        false => Output { start: sums.as_mut_ptr(), stride: width },
    };
    for start in (0..weights.columns).step_by(DEPTH) {
        let groups = start / form.group..(start + DEPTH).min(weights.columns) / form.group;
        let mut tile = tiles.start;
        while tile < tiles.end {
            let parts = together.min(tiles.end - tile);
            let part = |number: usize| Part::new(weights, form, tile + number.min(parts - 1), groups.clone());
            let mut both = [part(0), part(1)];
            if unpack {
                let rooms = wide.chunks_exact_mut(TILE * depth);
                both.iter_mut().zip(rooms).take(parts).for_each(|(part, room)| part.widen(room));
            }
            // SAFETY: the instruction set is the caller's; the groups are within the tiles and x, the tiles within the sums.
            unsafe {
                let out = Output { start: results.start.add((tile - tiles.start) * TILE), ..results };
                match parts {
                    2 => all_panels::<S, 2>(x, both, groups.start, out),
                    _ => all_panels::<S, 1>(x, [both[0]], groups.start, out),
                }
            }
            tile += parts;
        }
    }
    if direct {
        return;
    }
    for (row, sums) in rows.zip(sums.chunks_exact(width)) {
        // SAFETY: the row is x's and the columns are the weights'; no other task writes these columns.
        let y = unsafe { std::slice::from_raw_parts_mut(y.start.add(row * y.stride + columns.start), columns.len()) };
        match bias {
            Some(bias) => {
                y.iter_mut().zip(sums).zip(&bias[columns.clone()]).for_each(|((y, sum), bias)| *y = sum + bias)
            }
            None => y.copy_from_slice(&sums[..columns.len()]),
        }
    }
}

/// Adds products of all rows of x with some groups, of which `group` is the first, of T tiles to `out`.
#[inline(always)]
unsafe fn all_panels<S: Simd, const T: usize>(x: Input, tiles: [Part; T], group: usize, out: Output) {
    let panels = Panels::of(x.x.rows).iter(x.panels.0..x.panels.1);
    let mut out = out;
    for (first, rows) in panels {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                8 => panel::<S, 8, T>(x, tiles, first, group, out),
                6 => panel::<S, 6, T>(x, tiles, first, group, out),
                4 => panel::<S, 4, T>(x, tiles, first, group, out),
                2 => panel::<S, 2, T>(x, tiles, first, group, out),
                _ => panel::<S, 1, T>(x, tiles, first, group, out),
            }
            out.start = out.start.add(rows * out.stride);
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
    /// Those of `packed`, or one byte each.
    codes: *const u8,
    unpacked: bool,
}

impl<'a> Part<'a> {
    fn new(weights: Packed<'a>, form: Form, tile: usize, groups: std::ops::Range<usize>) -> Part<'a> {
        let bytes = form.tile_bytes(weights.columns);
        let packed = &weights.bytes[tile * bytes..(tile + 1) * bytes];
        let unit = f32::from_le_bytes(*packed.first_chunk().expect("a header"));
        let packed = &packed[HEADER..][groups.start * form.group_bytes()..groups.end * form.group_bytes()];
        Part { form, packed, unit, codes: packed.as_ptr(), unpacked: false }
    }

    /// Takes the codes from `wide`, into which they are put as bytes.
    #[inline(always)]
    fn widen(&mut self, wide: &mut [u8]) {
        let groups = self.packed.chunks_exact(self.form.group_bytes());
        for (group, wide) in groups.zip(wide.chunks_exact_mut(TILE * self.form.group)) {
            let (low, plane) = group[..self.form.code_bytes()].split_at(self.form.low_bytes());
            let pairs = wide.as_chunks_mut::<{ 2 * VECTOR }>().0;
            for (packed, wide) in low.as_chunks::<VECTOR>().0.iter().zip(pairs) {
                for i in 0..VECTOR {
                    wide[i] = packed[i] & 15;
                    wide[VECTOR + i] = packed[i] >> 4;
                }
            }
            if let Ok(plane) = <&[u8; PLANE]>::try_from(plane) {
                let bits = self.form.bits - 4;
                for (number, wide) in wide.as_chunks_mut::<VECTOR>().0.iter_mut().enumerate() {
                    for (code, plane) in wide.iter_mut().zip(plane) {
                        *code |= ((plane >> (number as u8 * bits)) & ((1 << bits) - 1)) << 4;
                    }
                }
            }
        }
        (self.codes, self.unpacked) = (wide.as_ptr(), true);
    }
}

/// Vectors of a tile's width on the narrowest instruction set.
const VECTORS: usize = 2;

/// Adds (or puts, if `group` is 0) the products of a panel, which begins with row `first` and has ROWS rows, with these groups, of which `group` is the
/// first, to `out`.
#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const T: usize>(
    x: Input,
    tiles: [Part; T],
    first: usize,
    group: usize,
    out: Output,
) {
    let Form { group: width, bits, .. } = tiles[0].form;
    unsafe {
        match (width, if tiles[0].unpacked { 8 } else { bits }) {
            (32, 4) => panel_of::<S, ROWS, T, 32, 4>(x, tiles, first, group, out),
            (32, 5) => panel_of::<S, ROWS, T, 32, 5>(x, tiles, first, group, out),
            (32, _) => panel_of::<S, ROWS, T, 32, 8>(x, tiles, first, group, out),
            (_, 4) => panel_of::<S, ROWS, T, 16, 4>(x, tiles, first, group, out),
            (_, 6) => panel_of::<S, ROWS, T, 16, 6>(x, tiles, first, group, out),
            (..) => panel_of::<S, ROWS, T, 16, 8>(x, tiles, first, group, out),
        }
    }
}

#[inline(always)]
unsafe fn panel_of<S: Simd, const ROWS: usize, const T: usize, const GROUP: usize, const BITS: u8>(
    x: Input,
    tiles: [Part; T],
    first: usize,
    group: usize,
    out: Output,
) {
    let Input { x, sums: of_groups, .. } = x;
    let form = tiles[0].form;
    // Vectors of a tile; those of all tiles are gone through together.
    let vectors = TILE / S::LANES;
    let group_bytes = form.group_bytes();
    let code_bytes = form.code_bytes();
    let codes_step = if tiles[0].unpacked { TILE * GROUP } else { group_bytes };
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
        let mut halves = tiles.map(|tile| tile.packed.as_ptr().add(code_bytes));
        let mut totals = [[[S::splat(0.0); VECTORS]; T]; ROWS];
        for number in group..group + groups {
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
                    let scale = S::load_f16(halves[t].add(2 * v * S::LANES).cast());
                    for (i, (totals, dots)) in totals.iter_mut().zip(&dots).enumerate() {
                        let factor = S::mul(scale, S::splat(*scales.add(i)));
                        totals[t][v] = S::fma(S::to_f32(dots[t][v]), factor, totals[t][v]);
                    }
                    if form.offset {
                        let offset = S::load_f16(halves[t].add(2 * TILE + 2 * v * S::LANES).cast());
                        for (i, totals) in totals.iter_mut().enumerate() {
                            totals[t][v] = S::fma(offset, S::splat(*values.add(i)), totals[t][v]);
                        }
                    }
                }
            }
            a = a.add(GROUP * ROWS);
            shifts = shifts.add(ROWS);
            values = values.wrapping_add(ROWS);
            for t in 0..T {
                codes[t] = codes[t].add(codes_step);
                halves[t] = halves[t].wrapping_add(group_bytes);
            }
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
unsafe fn load_pair<S: Simd, const BITS: u8>(codes: *const u8, pair: usize, at: usize, plane: &mut S::U) -> [S::U; 2] {
    unsafe {
        if BITS == 8 {
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
