//! What only a Mac can tell of its GPU. Elsewhere, and in builds without the feature `metal`, there is none.

#[cfg(all(feature = "metal", target_os = "macos"))]
pub use there::{count, name, working_set};

#[cfg(not(all(feature = "metal", target_os = "macos")))]
pub use absent::{count, name, working_set};

#[cfg(all(feature = "metal", target_os = "macos"))]
mod there {
    use candle_core::{Device, Result};
    use candle_metal_kernels::metal;

    pub fn count() -> usize {
        metal::Device::all().len()
    }

    /// Its architecture, as `applegpu_g13s`.
    pub fn name(device: &Device) -> Result<String> {
        Ok(device.as_metal_device()?.metal_device().architecture_name())
    }

    /// Bytes that this process has of the GPU's memory, and those that it can have without being slowed down.
    pub fn working_set(device: &Device) -> Result<Option<(u64, u64)>> {
        let device = device.as_metal_device()?.metal_device();
        Ok(Some((device.current_allocated_size() as u64, device.recommended_max_working_set_size() as u64)))
    }
}

#[cfg(not(all(feature = "metal", target_os = "macos")))]
mod absent {
    use candle_core::{Device, Result};

    pub fn count() -> usize {
        0
    }

    pub fn name(_: &Device) -> Result<String> {
        Ok("candle's CPU device".into())
    }

    pub fn working_set(_: &Device) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }
}
