//! Memory of the device by address, and kernels over it: tests hand them what they hand to the CPU's stand-in.

use super::{
    gpu::{Gpu, failed},
    launch::Launch,
};
use candle_core::{
    Result, bail,
    cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr},
};

/// Bytes on the device, which are freed with this.
pub struct Piece(CudaSlice<u8>);

/// Any kernel's arguments: as many of these bytes as it takes are read.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Arguments([u8; 256]);

// SAFETY: plain bytes.
unsafe impl DeviceRepr for Arguments {}

impl Gpu {
    /// A copy of `bytes` on the device.
    pub fn put(&self, bytes: &[u8]) -> Result<Piece> {
        Ok(Piece(self.cuda().clone_htod(bytes)?))
    }

    /// Where a piece begins on the device.
    pub fn address_of(&self, piece: &Piece) -> u64 {
        piece.0.device_ptr(&self.cuda().cuda_stream()).0
    }

    /// The bytes of a piece after all that was launched.
    pub fn get(&self, piece: &Piece) -> Result<Vec<u8>> {
        let bytes = self.cuda().clone_dtoh(&piece.0)?;
        self.finish()?;
        Ok(bytes)
    }

    /// Runs a kernel, and waits for it.
    ///
    /// # Safety
    /// `arguments` are the bytes of the kernel's own, and all addresses in them and behind them are of pieces that are there
    /// and large enough.
    pub unsafe fn launch(&self, launch: &Launch, arguments: &[u8]) -> Result<()> {
        let mut all = Arguments([0; 256]);
        let Some(own) = all.0.get_mut(..arguments.len()) else { bail!("{} bytes of arguments", arguments.len()) };
        own.copy_from_slice(arguments);
        self.run(launch, &all)?;
        self.finish().map_err(failed)
    }
}
