//! The GPU itself, which runs what was compiled for it.

use crate::memory::Machine;
use ronbun_kernels::cuda::{Gpu, Launch, Piece};
use std::sync::LazyLock;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::open(0).expect("a GPU"));

#[derive(Default)]
pub struct OnGpu {
    pieces: Vec<(u64, usize, Piece)>,
}

impl Machine for OnGpu {
    fn put(&mut self, mut bytes: Vec<u8>) -> u64 {
        let length = bytes.len();
        // There is no piece of nothing on a device.
        bytes.resize(length.max(1), 0);
        let piece = GPU.put(&bytes).expect("memory on the GPU");
        let address = GPU.address_of(&piece);
        self.pieces.push((address, length, piece));
        address
    }

    fn get(&self, address: u64) -> Vec<u8> {
        let (_, length, piece) = self.pieces.iter().find(|(start, ..)| *start == address).expect("from `put`");
        let mut bytes = GPU.get(piece).expect("what kernels wrote");
        bytes.truncate(*length);
        bytes
    }

    fn hopper(&self) -> bool {
        let asked = std::env::var("RONBUN_HOPPER").is_ok_and(|set| set == "1");
        assert_eq!(asked, GPU.hopper(), "RONBUN_HOPPER=1 takes a Hopper and kernels compiled for 90a");
        asked
    }

    fn run(&mut self, launch: &Launch, arguments: &[u8], _: i32) {
        // SAFETY: the addresses are those of the pieces, which are as large as tests of the stand-in, where each byte
        // beyond ends the program, found that they have to be.
        let run = unsafe { GPU.launch(launch, arguments) };
        run.unwrap_or_else(|error| panic!("{}: {error}", launch.kernel));
    }
}
