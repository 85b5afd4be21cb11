//! The interface of a GPU, held to the f64 reference by one body for all of them: by default candle's CPU device in f32 and in
//! bf16; with RONBUN_TEST_DEVICE=metal a Mac's GPU, with RONBUN_TEST_DEVICE=cuda, in such a build, NVIDIA's.

use super::*;
use candle_core::quantized::{GgmlDType, QTensor};
use ronbun_kernels::{
    Isa,
    attention::{Shape, Visible},
    elementwise::{self, Activation, Pairing},
    reference,
};

/// Those that tests run on.
pub fn gpus() -> Vec<Arc<Gpu>> {
    let asked = std::env::var("RONBUN_TEST_DEVICE").ok();
    match asked.as_deref() {
        Some(name) => {
            assert!(name == GPUS && (CUDA || METAL), "RONBUN_TEST_DEVICE={name}: not in this build");
            vec![Arc::new(Gpu::open(0).expect("a GPU"))]
        }
        None => without_gpu(),
    }
}

#[cfg(feature = "cuda")]
fn without_gpu() -> Vec<Arc<Gpu>> {
    eprintln!("skipped: this build computes on GPUs only, and RONBUN_TEST_DEVICE=cuda asks for one");
    Vec::new()
}

#[cfg(not(feature = "cuda"))]
fn without_gpu() -> Vec<Arc<Gpu>> {
    [DType::F32, DType::BF16].map(|dtype| Arc::new(Gpu::on(Device::Cpu, dtype))).into()
}

/// Relative error of a number that was rounded once to the GPU's type.
pub fn rounding(gpu: &Gpu) -> f64 {
    if gpu.dtype() == DType::F32 { 1e-6 } else { 2f64.powi(-8) }
}

/// Pseudo-random numbers in (-1, 1); xorshift64*.
struct Random(u64);

impl Random {
    fn numbers(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
            bits as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Numbers that the GPU's type holds exactly, (rows, width).
    fn exact(&mut self, gpu: &Gpu, rows: usize, width: usize) -> (Vec<f32>, Tensor) {
        let sent = sent(gpu, &self.numbers(rows * width), width);
        (read(&sent), sent)
    }
}

/// In the GPU's type, (rows, width).
fn sent(gpu: &Gpu, values: &[f32], width: usize) -> Tensor {
    let tensor = Tensor::from_slice(values, (values.len() / width, width), &Device::Cpu).expect("a tensor");
    tensor.to_dtype(gpu.dtype()).and_then(|x| x.to_device(&gpu.device())).expect("sent")
}

fn read(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1()).expect("read")
}

/// Errors against the largest magnitude of what is expected.
#[track_caller]
fn assert_close(got: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(1e-30, |a: f64, b| a.max(b.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= tolerance * scale, "{what}: element {i} is {got}, expected {expected}");
    }
}

/// What sequences hold in a layer by the reference: keys, turned, and values.
type Held = (Vec<f32>, Vec<f32>);

/// Caches of a prefix and of branches behind it, on a GPU and by the reference.
struct Text {
    gpu: Arc<Gpu>,
    shape: Shape,
    turning: Option<(Pairing, usize)>,
    random: Random,
    prefix: (Cache, Vec<Held>),
    tails: Vec<(Cache, Vec<Held>)>,
}

const LAYERS: usize = 2;
/// Where the first token stands for the rotary embedding: a long way into a paper.
const FIRST: usize = 69_900;

impl Text {
    fn new(gpu: &Arc<Gpu>, shape: Shape, turning: Option<(Pairing, usize)>, branches: usize) -> Text {
        let empty = || {
            let cache = Cache::new(gpu.clone(), LAYERS, shape.kv_heads, shape.head_dim, false);
            (cache, vec![Held::default(); LAYERS])
        };
        let tails = (0..branches).map(|_| empty()).collect();
        Text { gpu: gpu.clone(), shape, turning, random: Random(shape.head_dim as u64 + 7), prefix: empty(), tails }
    }

    /// Cosines and sines of these positions.
    fn table(pairs: usize, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let angle =
            |position: usize, pair: usize| (FIRST + position) as f64 * 10_000f64.powf(-(pair as f64) / pairs as f64);
        let angles = positions.iter().flat_map(|position| (0..pairs).map(move |pair| angle(*position, pair)));
        angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip()
    }

    /// Reads so many new tokens into each branch, or into the prefix where that is asked for, and holds what they find to the
    /// reference.
    #[track_caller]
    fn read(&mut self, into_prefix: bool, rows: &[usize]) {
        let Shape { heads, kv_heads, head_dim, .. } = self.shape;
        let (prefix, mut tails): (_, Vec<&mut (Cache, Vec<Held>)>) = match into_prefix {
            true => (None, vec![&mut self.prefix]),
            false => (Some(&self.prefix), self.tails.iter_mut().collect()),
        };
        let behind = prefix.map_or(0, |(cache, _)| cache.len());
        let starts: Vec<usize> = tails.iter().map(|(cache, _)| behind + cache.len()).collect();
        let positions: Vec<usize> = starts.iter().zip(rows).flat_map(|(from, rows)| *from..from + rows).collect();
        let tokens = positions.len();
        let (gpu, random) = (&self.gpu, &mut self.random);
        let mut lengths: Vec<_> = rows.iter().copied().zip(tails.iter_mut().map(|(cache, _)| cache)).collect();
        let batch = Batch::new(gpu.clone(), heads, prefix.map(|(cache, _)| cache), &mut lengths).expect("a batch");
        let table = self.turning.map(|(pairing, pairs)| (pairing, Self::table(pairs, &positions)));
        let turn =
            table.as_ref().map(|(pairing, (cos, sin))| Turn::new(gpu, cos, sin, tokens, *pairing).expect("sent"));
        let turned = |x: &[f32]| {
            let mut x = x.to_vec();
            if let Some((pairing, (cos, sin))) = &table {
                elementwise::rotate(Isa::current(), &mut x, cos, sin, tokens, head_dim, *pairing);
            }
            x
        };
        for layer in 0..LAYERS {
            let [(q, q_sent), (k, k_sent), (v, v_sent)] =
                [heads, kv_heads, kv_heads].map(|heads| random.exact(gpu, tokens, heads * head_dim));
            let (q, k) = (turned(&q), turned(&k));
            let mut caches: Vec<&mut Cache> = tails.iter_mut().map(|(cache, _)| cache).collect();
            batch
                .append(layer, [&q_sent, &k_sent, &v_sent], turn.as_ref().map(Turn::angles), &mut caches)
                .expect("appends");
            let out = sent(gpu, &vec![f32::NAN; q.len()], heads * head_dim);
            batch.attend(layer, self.shape, &out).expect("attends");
            let mut expected = Vec::new();
            let mut first = 0;
            for ((tail, from), rows) in tails.iter_mut().zip(&starts).zip(rows) {
                let (keys, values) = &mut tail.1[layer];
                let own = |width: usize| first * width..(first + rows) * width;
                keys.extend(&k[own(kv_heads * head_dim)]);
                values.extend(&v[own(kv_heads * head_dim)]);
                let nothing = Held::default();
                let (before_keys, before_values) = prefix.map_or(&nothing, |(_, held)| &held[layer]);
                let keys = [&before_keys[..], keys].concat();
                let values = [&before_values[..], values].concat();
                let (q, visible) = (&q[own(heads * head_dim)], Visible::Causal { first: *from });
                expected.extend(reference::attention(self.shape, q, &keys, &values, visible).0);
                first += rows;
            }
            // What is rounded: the weights, turned keys and queries, the result.
            let tolerance = if self.turning.is_some() { 4.0 } else { 2.0 } * rounding(gpu);
            assert_close(&read(&out), &expected, tolerance, &format!("{:?} layer {layer} at {starts:?}", self.shape));
        }
    }

    /// Cuts a branch by the reference and on the GPU.
    fn cut(&mut self, branch: usize, len: usize) {
        let width = self.shape.kv_heads * self.shape.head_dim;
        let (cache, held) = &mut self.tails[branch];
        assert_eq!((cache.truncate(len), cache.len()), (len, len));
        for (keys, values) in held {
            keys.truncate(len * width);
            values.truncate(len * width);
        }
    }
}

#[test]
fn a_prefix_is_read_in_chunks_of_any_length() {
    for gpu in gpus() {
        for (heads, kv_heads, head_dim) in [(3, 1, 64), (4, 2, 80)] {
            let mut text = Text::new(&gpu, Shape::new(heads, kv_heads, head_dim), None, 0);
            for tokens in [1, 63, 64, 130, 5] {
                text.read(true, &[tokens]);
            }
            assert_eq!(text.prefix.0.len(), 263);
        }
    }
}

#[test]
fn branches_share_the_prefix_and_see_their_own_tails_only() {
    for gpu in gpus() {
        for (window, softcap) in [(None, None), (Some(30), None), (Some(1), None), (None, Some(1.5))] {
            let shape = Shape { window, softcap, scale: 0.3, ..Shape::new(3, 1, 64) };
            let mut text = Text::new(&gpu, shape, None, 4);
            text.read(true, &[70]);
            text.read(false, &[1, 17, 33, 3]);
            text.read(false, &[1, 1, 1, 1]);
            text.read(false, &[5, 1, 9, 2]);
        }
    }
}

#[test]
fn keys_and_queries_are_turned_by_positions_far_into_a_text() {
    for gpu in gpus() {
        for turning in [(Pairing::HalfSplit, 32), (Pairing::Interleaved, 32), (Pairing::HalfSplit, 10)] {
            let mut text = Text::new(&gpu, Shape::new(4, 2, 64), Some(turning), 2);
            text.read(true, &[70]);
            text.read(false, &[3, 9]);
            text.read(false, &[1, 1]);
        }
    }
}

#[test]
fn a_branch_that_is_cut_goes_on_from_there() {
    for gpu in gpus() {
        let mut text = Text::new(&gpu, Shape::new(4, 2, 64), None, 2);
        text.read(true, &[20]);
        text.tails[0].0.make_room(300).expect("room");
        text.read(false, &[100, 10]);
        text.cut(0, 50);
        text.cut(1, 0);
        text.read(false, &[2, 3]);
        assert!(
            !text.tails[1].0.is_empty()
                && Cache::bytes_for(LAYERS, 2, 64, 52, false) >= (LAYERS * 2 * 2 * 64 * 2 * 52) as u64
        );
    }
}

#[test]
fn products_with_weights_of_all_types() {
    const TYPES: [GgmlDType; 13] = [
        GgmlDType::F32,
        GgmlDType::F16,
        GgmlDType::BF16,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];
    const SHAPE: (usize, usize) = (70, 512);
    for gpu in gpus() {
        let mut random = Random(3);
        let (bias, w) = (random.numbers(SHAPE.0), random.numbers(SHAPE.0 * SHAPE.1));
        let w = Tensor::from_vec(w, SHAPE, &Device::Cpu).expect("a matrix");
        for kind in TYPES {
            let packed = QTensor::quantize(&w, kind).expect("a type of weights");
            let weights = read(&packed.dequantize(&Device::Cpu).expect("numbers"));
            let bytes = packed.data().expect("bytes");
            let linear = |bias| super::linear(gpu.clone(), SHAPE.1, &[(kind, &bytes, SHAPE.0)], bias).expect("sent");
            for rows in [1, 5] {
                let (x, x_sent) = random.exact(&gpu, rows, SHAPE.1);
                let expected = |bias| reference::linear(&x, &weights, SHAPE.1, bias);
                // NVIDIA's GPUs round what quantised weights are multiplied with to bytes.
                let tolerance = if gpu.dtype() == DType::F32 { 1e-5 } else { 2e-2 };
                let y = sent(&gpu, &vec![f32::NAN; rows * SHAPE.0], SHAPE.0);
                linear(Some(&bias)).forward(&x_sent, &y).expect("multiplies");
                assert_close(&read(&y), &expected(Some(&bias)), tolerance, &format!("{kind:?}"));
                let sum = Tensor::ones((rows, SHAPE.0), DType::F32, &gpu.device()).expect("a stream");
                linear(Some(&bias)).add(&x_sent, &sum).expect("adds");
                let sums: Vec<f64> = expected(Some(&bias)).iter().map(|y| y + 1.0).collect();
                assert_close(&read(&sum), &sums, tolerance, &format!("{kind:?} added"));
                let mut y = vec![f32::NAN; rows * SHAPE.0];
                linear(None).forward_to_host(&x_sent, &mut y).expect("multiplies");
                assert_close(&y, &expected(None), tolerance, &format!("{kind:?} to the host"));
            }
        }
    }
}

#[test]
fn norms_gates_and_sums() {
    for gpu in gpus() {
        let (mut random, tolerance) = (Random(9), rounding(&gpu).max(1e-5));
        let (weight, residual) = (random.numbers(64), random.numbers(6 * 64));
        let on_gpu = |values: &[f32]| Tensor::from_slice(values, values.len(), &gpu.device()).expect("sent");
        let y = sent(&gpu, &vec![f32::NAN; residual.len()], 64);
        let (x, x_sent) = random.exact(&gpu, 6, 64);
        let stream = on_gpu(&residual).reshape((6, 64)).expect("rows");
        for (values, tensor) in [(&x, &x_sent), (&residual, &stream)] {
            gpu.rms_norm(tensor, &on_gpu(&weight), 1e-5, &y).expect("normed");
            let normed = |x: &[f32]| {
                let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
                let part = |(x, w): (&f32, &f32)| f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*w);
                x.iter().zip(&weight).map(part).collect::<Vec<_>>()
            };
            assert_close(&read(&y), &values.chunks(64).flat_map(normed).collect::<Vec<_>>(), tolerance, "a norm");
        }

        gpu.add(&stream, &x_sent).expect("added");
        let sums: Vec<f64> = residual.iter().zip(&x).map(|(a, b)| f64::from(a + b)).collect();
        assert_close(&read(&stream), &sums, 1e-7, "a sum");

        let silu = |x: f64| x / (1.0 + (-x).exp());
        let gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
        let activations: [(Activation, &dyn Fn(f64) -> f64); 2] =
            [(Activation::Silu, &silu), (Activation::GeluTanh, &gelu)];
        for (activation, formula) in activations {
            let (up, up_sent) = random.exact(&gpu, 6, 64);
            let gate = sent(&gpu, &x.iter().map(|x| x * 8.0).collect::<Vec<_>>(), 64);
            let expected: Vec<f64> =
                read(&gate).iter().zip(&up).map(|(x, up)| formula(f64::from(*x)) * f64::from(*up)).collect();
            gpu.gate(activation, &gate, &up_sent).expect("gated");
            assert_close(&read(&gate), &expected, tolerance, "a gate");
        }
    }
}

#[test]
fn a_gpu_tells_its_memory_and_is_asked_for_by_its_name() {
    for gpu in gpus() {
        let (free, all) = gpu.memory().expect("memory");
        assert!(free > 0 && free <= all);
        let place = Place::Gpu(gpu);
        assert!(place.describe().starts_with(&format!("{GPUS} (")), "{}", place.describe());
        assert_eq!(place.finish(), Ok(()));
    }
}

#[test]
fn the_cpu_is_there_without_being_asked_for() {
    let place = Place::default();
    assert!(place.gpu().is_none() && place.describe().starts_with("cpu ("));
    let room = place.empty(2, 3).expect("room");
    assert_eq!((room.dims(), room.dtype()), (&[2, 3][..], DType::F32));
    assert_eq!(place.finish(), Ok(()));
}

#[test]
fn memory_that_runs_out_is_no_defect() {
    let error = |text: &str| failed(candle_core::Error::Msg(text.into())).kind;
    assert_eq!(error("CUDA: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"), Kind::Memory);
    assert_eq!(error("Failed to create metal resource: Buffer"), Kind::Memory);
    assert_eq!(error("shape mismatch"), Kind::Internal);
}
