//! Compiles the programs of `cuda/host` and runs kernels with them.

use crate::memory::Machine;
use ronbun_kernels::cuda::Launch;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

static EMULATE: LazyLock<PathBuf> = LazyLock::new(|| compiled("emulate"));

/// Compiles a program of `cuda/host` with the machine's C++ compiler.
fn compiled(name: &str) -> PathBuf {
    let source = Path::new(ROOT).join("cuda/host").join(name).with_extension("cpp");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for programs");
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = cc::Build::new();
    build.cpp(true).host(&host).target(&host).opt_level(2).warnings(true).extra_warnings(true).debug(false);
    build.cargo_metadata(false).out_dir(&folder);
    let compiler = build.try_get_compiler().expect("the tests of GPU kernels need a C++ compiler (apt install g++)");
    let program = folder.join(name);
    let run = compiler.to_command().args(["-std=c++20", "-Werror", "-o"]).arg(&program).arg(source).output();
    succeeded(run.expect("the C++ compiler runs"));
    program
}

fn succeeded(output: Output) -> String {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// What does not hold of the index functions.
pub fn indices() -> String {
    let output = Command::new(compiled("indices")).output().expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.is_empty(), output.status.success(), "{told}");
    told
}

/// All kernels, with the threads and the bytes of shared memory of a block, and the bytes of their arguments.
pub fn kernels() -> BTreeMap<String, (usize, usize, usize)> {
    let told = succeeded(Command::new(&*EMULATE).output().expect("the program runs"));
    let row = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").to_string();
        let mut number = || words.next().expect("a number").parse().expect("a number");
        (name, (number(), number(), number()))
    };
    told.lines().map(row).collect()
}

/// What the GPU's memory would hold: pieces far from each other, each of which ends where a page does.
#[derive(Default)]
pub struct Emulated {
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Machine for Emulated {
    fn put(&mut self, bytes: Vec<u8>) -> u64 {
        const PAGE: u64 = 4096;
        let room = (bytes.len() as u64).next_multiple_of(16).max(16);
        let end = (0x2000_0000_0000 + ((self.pieces.len() as u64) << 32) + room).next_multiple_of(PAGE);
        self.pieces.push((end - room, bytes));
        end - room
    }

    fn get(&self, address: u64) -> Vec<u8> {
        self.pieces.iter().find(|(start, _)| *start == address).expect("an address from `put`").1.clone()
    }

    fn hopper(&self) -> bool {
        true
    }

    fn run(&mut self, launch: &Launch, arguments: &[u8], seed: i32) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let request = EMULATE.with_file_name(format!("{number}.request"));
        let result = EMULATE.with_file_name(format!("{number}.result"));
        fs::write(&request, self.request(launch, arguments, seed)).expect("a request");
        let run = Command::new(&*EMULATE).arg(&request).arg(&result).output().expect("the program runs");
        assert!(run.status.success(), "{}: {}: {}", launch.kernel, run.status, String::from_utf8_lossy(&run.stderr));
        let bytes = fs::read(&result).expect("a result");
        let mut rest = bytes.as_slice();
        for (_, piece) in &mut self.pieces {
            let (own, others) = rest.split_at(piece.len());
            piece.copy_from_slice(own);
            rest = others;
        }
        fs::remove_file(request).and_then(|()| fs::remove_file(result)).expect("was there");
    }
}

impl Emulated {
    fn request(&self, launch: &Launch, arguments: &[u8], seed: i32) -> Vec<u8> {
        let sized = |bytes: &[u8]| [&(bytes.len() as u64).to_ne_bytes(), bytes].concat();
        let mut request = sized(launch.kernel.as_bytes());
        let Launch { grid, threads, shared, .. } = launch;
        for number in [grid.0, grid.1, *threads, *shared] {
            request.extend(number.to_ne_bytes());
        }
        request.extend(seed.to_ne_bytes());
        request.extend(sized(arguments));
        request.extend((self.pieces.len() as u64).to_ne_bytes());
        for (address, bytes) in &self.pieces {
            request.extend(address.to_ne_bytes());
            request.extend(sized(bytes));
        }
        request
    }
}
