//! The rotary embedding with the append to the cache, and caches of bytes.

use crate::{FLOATS, Memory, Random, assert_close, bits, rounding, wide};
use ronbun_kernels::{
    Isa,
    attention::{Shape, Visible},
    cuda::{
        Float, Plan, Span,
        arguments::{Append, Attention, Job, Round},
        launch,
    },
    elementwise::{self, Pairing},
    reference,
};

const BLOCK: usize = 64;

#[test]
fn keys_are_turned_and_put_where_they_belong() {
    for float in FLOATS {
        for (pairing, half) in
            [(Pairing::HalfSplit, 16), (Pairing::Interleaved, 16), (Pairing::HalfSplit, 10), (Pairing::Interleaved, 0)]
        {
            appends(float, pairing, half);
        }
    }
}

/// Two branches of two and three new tokens, whose caches hold some already.
fn appends(float: Float, pairing: Pairing, half: usize) {
    const HEADS: usize = 4;
    const KV_HEADS: usize = 2;
    const DIM: usize = 32;
    const CAPACITY: usize = 8;
    let (tokens, held) = ([2, 3], [4, 0]);
    let mut random = Random(half as u64 + 3);
    let (q, k) = (random.exact(float, 5 * HEADS * DIM), random.exact(float, 5 * KV_HEADS * DIM));
    let v = random.exact(float, k.len());
    let angles: Vec<f32> = random.vec(5 * half).iter().map(|x| x * 3.0).collect();
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
    let mut memory = Memory::default();
    let mut empty = || memory.put(&vec![0x1234_u16; KV_HEADS * CAPACITY * DIM]);
    let job = |branch: usize, keys: u64, values: u64| Job {
        keys,
        values,
        length: (held[branch] + tokens[branch]) as i32,
        capacity: CAPACITY as i32,
        first_token: if branch == 0 { 0 } else { tokens[0] as i32 },
        tokens: tokens[branch] as i32,
        ..Job::default()
    };
    let jobs = [job(0, empty(), empty()), job(1, empty(), empty())];
    let append = Append {
        q: memory.put(&bits(float, &q)),
        k: memory.put(&bits(float, &k)),
        v: memory.put(&bits(float, &v)),
        cos: if half == 0 { 0 } else { memory.put(&cos) },
        sin: if half == 0 { 0 } else { memory.put(&sin) },
        jobs: memory.put(&jobs),
        job_of: memory.put(&[0, 0, 1, 1, 1]),
        tokens: 5,
        heads: HEADS as i32,
        kv_heads: KV_HEADS as i32,
        head_dim: DIM as i32,
        half: half as i32,
        interleaved: i32::from(pairing == Pairing::Interleaved),
    };
    memory.run(&launch::append(float, &append), &append, 1);

    let turned = |x: &[f32]| {
        let mut x = x.to_vec();
        elementwise::rotate(Isa::current(), &mut x, &cos, &sin, 5, DIM, pairing);
        x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>()
    };
    let tolerance = rounding(float);
    assert_close(&wide(float, &memory.get(append.q)), &turned(&q), tolerance, "queries");
    let values: Vec<f64> = v.iter().map(|x| f64::from(*x)).collect();
    for (address, expected) in [(jobs.map(|job| job.keys), turned(&k)), (jobs.map(|job| job.values), values)] {
        for (branch, job) in jobs.iter().enumerate() {
            let kept: Vec<u16> = memory.get(address[branch]);
            for head in 0..KV_HEADS {
                for slot in 0..CAPACITY {
                    let at = (head * CAPACITY + slot) * DIM;
                    let row = &kept[at..at + DIM];
                    let new = slot.checked_sub(held[branch]).filter(|new| *new < tokens[branch]);
                    match new {
                        Some(new) => {
                            let from = ((job.first_token as usize + new) * KV_HEADS + head) * DIM;
                            assert_close(&wide(float, row), &expected[from..from + DIM], tolerance, "a row of a cache");
                        }
                        None => assert!(row.iter().all(|bits| *bits == 0x1234), "other rows are left alone"),
                    }
                }
            }
        }
    }
}

/// Keys with much in common, rounded, against the same attention over what was rounded.
#[test]
fn attention_over_bytes() {
    let shapes = [(4, 2, 64, 1), (6, 2, 96, 9), (3, 1, 128, 40), (2, 1, 256, 2), (2, 1, 256, 35)];
    for (seed, (heads, kv_heads, dim, tokens)) in (0..).zip(shapes) {
        let shape = Shape::new(heads, kv_heads, dim);
        let mut random = Random(dim as u64);
        let length = 3 * BLOCK;
        let common = random.vec(kv_heads * dim);
        let keys: Vec<f32> =
            random.vec(length * kv_heads * dim).iter().zip(common.iter().cycle()).map(|(x, y)| x + 3.0 * y).collect();
        let keys = wide(Float::F16, &bits(Float::F16, &keys));
        let values = random.exact(Float::F16, keys.len());
        let q = random.exact(Float::F16, tokens * heads * dim);
        let got = rounded_attention(shape, &q, &keys, &values, seed);
        let visible = Visible::Causal { first: length - 20 };
        let (expected, _) = reference::attention(shape, &q, &keys, &values, visible);
        assert_close(&got, &expected, 1.5e-2, &format!("heads of {dim}"));
    }
}

/// Attention of tokens the first of which is at the 21st key from the end, over keys rounded to bytes.
fn rounded_attention(shape: Shape, q: &[f32], keys: &[f32], values: &[f32], seed: i32) -> Vec<f32> {
    let Shape { heads, kv_heads, head_dim, scale, .. } = shape;
    let float = Float::F16;
    let length = keys.len() / kv_heads / head_dim;
    let tokens = q.len() / heads / head_dim;
    let by_head = |rows: &[f32]| -> Vec<u16> {
        let row = |head: usize, key: usize| &rows[(key * kv_heads + head) * head_dim..][..head_dim];
        (0..kv_heads).flat_map(|head| (0..length).flat_map(move |key| bits(float, row(head, key)))).collect()
    };
    let mut memory = Memory::default();
    let blocks = length / BLOCK;
    let round = Round {
        exact_keys: memory.put(&by_head(keys)),
        exact_values: memory.put(&by_head(values)),
        keys: memory.put(&vec![0x55_i8; keys.len()]),
        values: memory.put(&vec![0x55_i8; keys.len()]),
        factors: memory.put(&vec![f32::NAN; kv_heads * blocks * (BLOCK + 2 * head_dim)]),
        exact_first: 0,
        first: 0,
        exact_capacity: length as i32,
        capacity: length as i32,
        kv_heads: kv_heads as i32,
        head_dim: head_dim as i32,
    };
    memory.run(&launch::round(float, &round, blocks), &round, seed);
    let job = Job {
        keys: round.keys,
        values: round.values,
        factors: round.factors,
        length: length as i32,
        capacity: length as i32,
        tokens: tokens as i32,
        ..Job::default()
    };
    let span = Span { length, first_token: 0, tokens, rounded: true };
    let plan = Plan::new((heads, kv_heads, head_dim), &[span], tokens, 1).expect("a plan");
    assert!(plan.direct());
    let positions: Vec<i32> = (0..tokens).map(|token| (length - 20 + token) as i32).collect();
    let attention = Attention {
        q: memory.put(&bits(float, q)),
        jobs: memory.put(&[job]),
        tasks: memory.put(&plan.parts[0].tasks),
        positions: memory.put(&positions),
        out: memory.put(&vec![0xffff_u16; q.len()]),
        heads: heads as i32,
        kv_heads: kv_heads as i32,
        head_dim: head_dim as i32,
        scale,
        ..Attention::default()
    };
    memory.run(&launch::attention(float, &plan.parts[0], kv_heads), &attention, seed);
    wide(float, &memory.get(attention.out))
}
