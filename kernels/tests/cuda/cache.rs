//! The rotary embedding with the append to the cache.

use crate::{FLOATS, Memory, Random, assert_close, bits, kept_at, rounding, wide};
use ronbun_kernels::{
    Isa,
    cuda::{
        Float,
        arguments::{Append, Job},
        launch,
    },
    elementwise::{self, Pairing},
};

#[test]
fn keys_are_turned_and_put_where_they_belong() {
    for float in FLOATS {
        for (pairing, half) in
            [(Pairing::HalfSplit, 16), (Pairing::Interleaved, 16), (Pairing::HalfSplit, 10), (Pairing::Interleaved, 0)]
        {
            for dim in [32, 64, 128] {
                appends(float, pairing, half, dim);
            }
        }
    }
}

/// Two branches of two and three new tokens, whose caches hold some already.
fn appends(float: Float, pairing: Pairing, half: usize, dim: usize) {
    const HEADS: usize = 4;
    const KV_HEADS: usize = 2;
    const CAPACITY: usize = 8;
    let (tokens, held) = ([2, 3], [4, 0]);
    let mut random = Random(half as u64 + 3);
    // Queries, keys and values of a token side by side, behind numbers that are nobody's.
    let widths = [2, HEADS * dim, KV_HEADS * dim, KV_HEADS * dim];
    let stride: usize = widths.iter().sum();
    let joined = random.exact(float, 5 * stride);
    let part = |number: usize| -> Vec<f32> {
        let first: usize = widths[..number].iter().sum();
        joined.chunks_exact(stride).flat_map(|row| &row[first..first + widths[number]]).copied().collect()
    };
    let [q, k, v] = [1, 2, 3].map(part);
    let angles: Vec<f32> = random.vec(5 * half).iter().map(|x| x * 3.0).collect();
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
    let mut memory = Memory::default();
    let mut empty = || memory.put(&vec![0x1234_u16; KV_HEADS * CAPACITY * dim]);
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
    let rows = memory.put(&bits(float, &joined));
    let [q_at, k_at, v_at] = [1, 2, 3].map(|part| rows + 2 * widths[..part].iter().sum::<usize>() as u64);
    let append = Append {
        q: q_at,
        k: k_at,
        v: v_at,
        turned: memory.put(&vec![0xffff_u16; q.len()]),
        cos: if half == 0 { 0 } else { memory.put(&cos) },
        sin: if half == 0 { 0 } else { memory.put(&sin) },
        jobs: memory.put(&jobs),
        job_of: memory.put(&[0, 0, 1, 1, 1]),
        tokens: 5,
        heads: HEADS as i32,
        kv_heads: KV_HEADS as i32,
        head_dim: dim as i32,
        half: half as i32,
        interleaved: i32::from(pairing == Pairing::Interleaved),
        stride: stride as i32,
        unused: 0,
    };
    memory.run(&launch::append(float, &append), &append, 1);

    let turned = |x: &[f32]| {
        let mut x = x.to_vec();
        elementwise::rotate(Isa::current(), &mut x, &cos, &sin, 5, dim, pairing);
        x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>()
    };
    let tolerance = rounding(float);
    assert_close(&wide(float, &memory.get(append.turned)), &turned(&q), tolerance, "queries");
    assert_eq!(wide(float, &memory.get(rows)), joined, "what was given is left alone");
    let values: Vec<f64> = v.iter().map(|x| f64::from(*x)).collect();
    for (address, expected) in [(jobs.map(|job| job.keys), turned(&k)), (jobs.map(|job| job.values), values)] {
        for (branch, job) in jobs.iter().enumerate() {
            let kept: Vec<u16> = memory.get(address[branch]);
            for head in 0..KV_HEADS {
                for slot in 0..CAPACITY {
                    let row: Vec<u16> = (0..dim).map(|i| kept[kept_at(dim, CAPACITY, head, slot, i)]).collect();
                    let new = slot.checked_sub(held[branch]).filter(|new| *new < tokens[branch]);
                    match new {
                        Some(new) => {
                            let from = ((job.first_token as usize + new) * KV_HEADS + head) * dim;
                            assert_close(
                                &wide(float, &row),
                                &expected[from..from + dim],
                                tolerance,
                                "a row of a cache",
                            );
                        }
                        None => assert!(row.iter().all(|bits| *bits == 0x1234), "other rows are left alone"),
                    }
                }
            }
        }
    }
}
