//! The memory that kernels of a test work on: the stand-in's, or a GPU's where RONBUN_TEST_DEVICE=cuda asks for one.

use crate::program::Emulated;
use ronbun_kernels::cuda::Launch;

/// What runs kernels over pieces of memory of its own.
pub trait Machine {
    /// The address of a piece that holds `bytes`.
    fn put(&mut self, bytes: Vec<u8>) -> u64;

    /// What the piece at this address holds now.
    fn get(&self, address: u64) -> Vec<u8>;

    /// Whether it runs Hopper's own kernels.
    fn hopper(&self) -> bool;

    /// Runs a kernel over the pieces; the seed chooses the order of a block's threads where that can be chosen.
    fn run(&mut self, launch: &Launch, arguments: &[u8], seed: i32);
}

pub struct Memory {
    machine: Box<dyn Machine>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            machine: match std::env::var("RONBUN_TEST_DEVICE").as_deref() {
                Ok("cuda") => gpu(),
                Ok(other) => panic!("RONBUN_TEST_DEVICE={other}: only cuda is known"),
                Err(_) => Box::new(Emulated::default()),
            },
        }
    }
}

#[cfg(feature = "cuda")]
fn gpu() -> Box<dyn Machine> {
    Box::new(crate::device::OnGpu::default())
}

#[cfg(not(feature = "cuda"))]
fn gpu() -> Box<dyn Machine> {
    panic!("these tests were built without --features cuda")
}

/// Plain data that kernels read or write.
pub trait Plain: Copy {}
impl Plain for u16 {}
impl Plain for i8 {}
impl Plain for i32 {}
impl Plain for f32 {}
impl Plain for ronbun_kernels::cuda::arguments::Job {}
impl Plain for ronbun_kernels::cuda::arguments::Task {}
impl Plain for ronbun_kernels::cuda::arguments::Remembered {}

impl Memory {
    /// The address of a copy of `values`.
    pub fn put<V: Plain>(&mut self, values: &[V]) -> u64 {
        self.machine.put(bytes_of(values))
    }

    pub fn get<V: Plain + Default>(&self, address: u64) -> Vec<V> {
        let bytes = self.machine.get(address);
        let mut values = vec![V::default(); bytes.len() / size_of::<V>()];
        // SAFETY: plain data of as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), values.as_mut_ptr().cast(), bytes.len()) };
        values
    }

    /// Whether Hopper's own kernels run over it.
    pub fn hopper(&self) -> bool {
        self.machine.hopper()
    }

    /// Runs a kernel over this memory.
    pub fn run<A: Copy>(&mut self, launch: &Launch, arguments: &A, seed: i32) {
        self.machine.run(launch, &bytes_of(std::slice::from_ref(arguments)), seed);
    }
}

fn bytes_of<V: Copy>(values: &[V]) -> Vec<u8> {
    // SAFETY: the arguments of kernels have no padding, and all other types here are numbers.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }.to_vec()
}
