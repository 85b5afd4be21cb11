//! Which instruction set the kernels use.

use crate::amx;
use std::{fmt, str::FromStr, sync::OnceLock};

/// Instruction sets that kernels are compiled for, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 with VBMI, and AMX: products of bf16 for quantised linears over long prompts, of bytes for attention.
    Amx,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// AVX2, FMA and F16C.
    Avx2,
    /// What the compiler's baseline for the target gives (SSE2 on x86-64, NEON on aarch64).
    Portable,
}

impl Isa {
    /// Every instruction set that this machine can run.
    pub fn available() -> Vec<Isa> {
        [Isa::Amx, Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The one in use: the best, or the one that `RONBUN_CPU` asks for (`amx`, `avx512`, `avx2`, `portable`; [`asked`]) if it is
    /// available.
    pub fn current() -> Isa {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| match asked() {
            Some(Ok(isa)) if isa.is_available() => isa,
            _ => Isa::available()[0],
        })
    }

    /// Whether this machine can run it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Amx => amx::is_available() && Isa::Avx512.is_available(),
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && Isa::Avx2.is_available()
            }
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            Isa::Portable => true,
        }
    }

    /// Whether this machine can run it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Isa::Portable
    }
}

/// What `RONBUN_CPU` asks for, where it is set.
pub fn asked() -> Option<Result<Isa, String>> {
    std::env::var("RONBUN_CPU").ok().filter(|name| !name.is_empty()).map(|name| name.parse())
}

/// What to tell where kernels run on something else than `RONBUN_CPU` asks for, or than the processor has.
pub fn fallback() -> Option<String> {
    let current = Isa::current();
    // Whoever asks for something else has nothing to do with AMX, not even to find out whether it works.
    let (asked, why) = match asked() {
        None => {
            let why = amx::refusal()?;
            return Some(format!("this processor's AMX is not used: {why}; computing with {current}"));
        }
        Some(Ok(isa)) if isa == current => return None,
        Some(Ok(Isa::Amx)) => (Isa::Amx.to_string(), amx::refusal().map(|why| format!(" ({why})"))),
        Some(Ok(isa)) => (isa.to_string(), None),
        Some(Err(name)) => (name, None),
    };
    Some(format!("RONBUN_CPU={asked} is not to be had here{}; computing with {current}", why.unwrap_or_default()))
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "amx" => Ok(Isa::Amx),
            "avx512" => Ok(Isa::Avx512),
            "avx2" => Ok(Isa::Avx2),
            "portable" => Ok(Isa::Portable),
            other => Err(other.to_string()),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Amx => "amx",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        })
    }
}
