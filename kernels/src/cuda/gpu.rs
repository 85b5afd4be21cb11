//! Kernels on the device that candle opened. Tensors in, results in tensors that the caller made; everything happens on the
//! device's one stream, in order.

use super::{
    arguments::{self, Add, Append, Attention, Bias, Convolve, Gate, Merge, RmsNorm, Round},
    launch::{self, Float, HOPPER, Launch},
    plan::Chip,
};
use crate::elementwise::Activation;
use candle_core::{
    CudaDevice, DType, Device, Error, Result, Storage, Tensor, bail,
    cuda_backend::cudarc::{
        cublas::{result as cublas, sys as cublas_sys},
        driver::{
            CudaContext, CudaFunction, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
            result::{device, mem_pool},
            sys::{self, CUmemPool_attribute as PoolAttribute},
        },
    },
};
use half::{bf16, f16};
use std::{
    collections::HashMap,
    env,
    fmt::{self, Debug, Display},
    sync::Mutex,
};

/// Compiled by build.rs: the source, the capability that it is compiled for, whether for that alone, and the PTX.
const PTX: &[(&str, u32, bool, &str)] = include!(concat!(env!("OUT_DIR"), "/ptx.rs"));

/// The type of activations, keys and values on the device.
pub const FLOAT: Float = Float::Bf16;
pub const DTYPE: DType = DType::BF16;

/// A GPU whose kernels are loaded as they are first used.
pub struct Gpu {
    device: CudaDevice,
    functions: Mutex<HashMap<String, CudaFunction>>,
    capability: u32,
    pub(super) chip: Chip,
}

impl Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Gpu {{ capability: {}, chip: {:?} }}", self.capability, self.chip)
    }
}

// SAFETY: plain numbers and addresses, laid out as C does; kernels take them by value.
unsafe impl DeviceRepr for Attention {}
// SAFETY: as above.
unsafe impl DeviceRepr for Merge {}
// SAFETY: as above.
unsafe impl DeviceRepr for Append {}
// SAFETY: as above.
unsafe impl DeviceRepr for Round {}
// SAFETY: as above.
unsafe impl DeviceRepr for RmsNorm {}
// SAFETY: as above.
unsafe impl DeviceRepr for Gate {}
// SAFETY: as above.
unsafe impl DeviceRepr for Add {}
// SAFETY: as above.
unsafe impl DeviceRepr for Bias {}
// SAFETY: as above.
unsafe impl DeviceRepr for Convolve {}
// SAFETY: as above.
unsafe impl DeviceRepr for arguments::Job {}
// SAFETY: as above.
unsafe impl DeviceRepr for arguments::Task {}
// SAFETY: as above.
unsafe impl DeviceRepr for arguments::Remembered {}

impl Gpu {
    /// Opens the GPU of this number. Fails where there is no driver or no such device, or where no kernel was compiled for it.
    pub fn open(number: usize) -> Result<Gpu> {
        let device = CudaDevice::new_with_stream(number)?;
        let context = device.cuda_stream().context().clone();
        let (major, minor) = context.compute_capability().map_err(failed)?;
        let processors = context.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        let capability = (10 * major + minor) as u32;
        if ptx("elementwise", capability).is_none() {
            bail!(
                "this build has no kernels for compute capability {major}.{minor} (RONBUN_CUDA_CAPABILITIES chooses)"
            );
        }
        let processors = processors.map_err(failed)?.max(1) as usize;
        // SAFETY: all work of this process on the device is on its one stream, in order: there is nothing to track.
        unsafe { device.disable_event_tracking() };
        let chip = Chip { processors, hopper: takes_hopper(capability) };
        let gpu = Gpu { device, functions: Mutex::default(), capability, chip };
        gpu.keep_freed_memory();
        Ok(gpu)
    }

    /// GPUs that the driver tells.
    pub fn count() -> usize {
        CudaContext::device_count().map_or(0, |count| count.max(0) as usize)
    }

    pub fn device(&self) -> Device {
        Device::Cuda(self.device.clone())
    }

    /// The type of activations, keys and values.
    pub fn dtype(&self) -> DType {
        DTYPE
    }

    pub fn name(&self) -> Result<String> {
        self.device.cuda_stream().context().name().map_err(failed)
    }

    /// Whether Hopper's own kernels are taken where there are any.
    pub fn hopper(&self) -> bool {
        self.chip.hopper
    }

    /// Free and all bytes of the device's memory.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let (free, total) = self.device.cuda_stream().context().mem_get_info().map_err(failed)?;
        Ok((free as u64, total as u64))
    }

    /// The most bytes that this process held of the device's memory for tensors at a time; the context and libraries take
    /// some beside. `None` where the driver has no pools.
    pub fn peak_memory(&self) -> Option<u64> {
        let mut bytes = 0u64;
        let pool = self.pool()?;
        // SAFETY: the attribute is a u64.
        let told = unsafe {
            let high = PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH;
            mem_pool::get_attribute(pool, high, (&raw mut bytes).cast())
        };
        told.ok().map(|()| bytes)
    }

    /// What is freed stays with this process: else each wait for the device would give it back to the system, and each step
    /// ask for it again.
    fn keep_freed_memory(&self) {
        let mut all = u64::MAX;
        if let Some(pool) = self.pool() {
            // SAFETY: the attribute is a u64. Where it cannot be set things are slower, nothing more.
            let _ = unsafe {
                let threshold = PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
                mem_pool::set_attribute(pool, threshold, (&raw mut all).cast())
            };
        }
    }

    fn pool(&self) -> Option<sys::CUmemoryPool> {
        let context = self.device.cuda_stream().context().clone();
        // SAFETY: the device is the context's own.
        context.has_async_alloc().then(|| unsafe { device::get_mem_pool(context.cu_device()) })?.ok()
    }

    /// Waits for all work that was begun.
    pub fn finish(&self) -> Result<()> {
        self.device.cuda_stream().synchronize().map_err(failed)
    }

    pub(super) fn cuda(&self) -> &CudaDevice {
        &self.device
    }

    /// y = x / rms(x) · weight for each row, or each part of a row that is as long as `weight` (f32); `x` may be `y`.
    pub fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f64, y: &Tensor) -> Result<()> {
        let (rows, all) = x.dims2()?;
        let width = weight.elem_count().max(1);
        let from_f32 = x.dtype() == DType::F32;
        let (from, stride) = self.rows(x, if from_f32 { DType::F32 } else { DTYPE })?;
        let (to, to_stride) = self.rows(y, DTYPE)?;
        if x.dims() != y.dims() || stride != to_stride || !all.is_multiple_of(width) {
            bail!("a norm of {:?} by {width} into {:?}", x.layout(), y.layout());
        }
        let norm = RmsNorm {
            x: from,
            weight: self.address(weight, DType::F32)?,
            y: to,
            rows: rows as i64,
            parts: (all / width) as i32,
            width: width as i32,
            stride: stride as i32,
            eps: eps as f32,
        };
        self.run(&launch::rms_norm(FLOAT, from_f32, &norm), &norm)
    }

    /// gate = activation(gate) · up, (rows, width) each
    pub fn gate(&self, activation: Activation, gate: &Tensor, up: &Tensor) -> Result<()> {
        let name = match activation {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu",
        };
        let (rows, width) = gate.dims2()?;
        let ((x, stride), (y, up_stride)) = (self.rows(gate, DTYPE)?, self.rows(up, DTYPE)?);
        if gate.dims() != up.dims() || stride != up_stride {
            bail!("{:?} gated by {:?}", up.layout(), gate.layout());
        }
        let gate = Gate { x, y, rows: rows as i32, width: width as i32, stride: stride as i32, unused: 0 };
        self.run(&launch::gate(FLOAT, name, &gate), &gate)
    }

    /// x = x + y, where x is in f32.
    pub fn add(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        if x.dims() != y.dims() {
            bail!("a sum of {:?} and {:?}", x.shape(), y.shape());
        }
        let (x, y, count) = (self.address(x, DType::F32)?, self.address(y, DTYPE)?, x.elem_count() as i64);
        let add = Add { x, y, count };
        self.run(&launch::add(FLOAT, &add), &add)
    }

    /// y = y + bias (f32) for each row.
    pub fn add_bias(&self, y: &Tensor, bias: &Tensor) -> Result<()> {
        let (count, width) = (y.elem_count(), bias.elem_count());
        if !count.is_multiple_of(width.max(1)) {
            bail!("a bias of {width} for {:?}", y.shape());
        }
        let (y, bias) = (self.address(y, DTYPE)?, self.address(bias, DType::F32)?);
        let add = Bias { y, bias, count: count as i64, width: width.max(1) as i64 };
        self.run(&launch::bias(FLOAT, &add), &add)
    }

    /// y (rows, outputs) = x (rows, inputs) · wᵀ + before · y with w (outputs, inputs), by cuBLAS with f32 sums; y is of the
    /// 16-bit type, or in f32. What is there `before` counts fully or not at all: 1, or 0.
    pub fn linear(&self, x: &Tensor, w: &Tensor, y: &Tensor, before: f32) -> Result<()> {
        let (rows, inputs) = x.dims2()?;
        let (outputs, depth) = w.dims2()?;
        if depth != inputs || y.dims2()? != (rows, outputs) {
            bail!("a product of {:?} and {:?} into {:?}", x.shape(), w.shape(), y.shape());
        }
        let y_type = if y.dtype() == DType::F32 { DType::F32 } else { DTYPE };
        let ((x, x_stride), w, (y, y_stride)) = (self.rows(x, DTYPE)?, self.address(w, DTYPE)?, self.rows(y, y_type)?);
        let one = 1f32;
        let half = cublas_sys::cudaDataType::CUDA_R_16BF;
        let result = if y_type == DType::F32 { cublas_sys::cudaDataType::CUDA_R_32F } else { half };
        // cuBLAS counts by columns: its matrices are ours transposed, yᵀ (outputs, rows) = w · xᵀ.
        // SAFETY: addresses of as many elements as the shapes say, checked above.
        unsafe {
            cublas::gemm_ex(
                *self.device.cublas_handle().handle(),
                cublas_sys::cublasOperation_t::CUBLAS_OP_T,
                cublas_sys::cublasOperation_t::CUBLAS_OP_N,
                outputs as i32,
                rows as i32,
                inputs as i32,
                (&raw const one).cast(),
                w as *const _,
                half,
                inputs as i32,
                x as *const _,
                half,
                x_stride as i32,
                (&raw const before).cast(),
                y as *mut _,
                result,
                y_stride as i32,
                cublas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(failed)
    }

    /// Where the tensor's elements lie, which are of this type and in one piece. Kernels write through it, as candle's own
    /// in-place operations do: a tensor that is written to must not share its storage with one that must stay.
    pub(super) fn address(&self, tensor: &Tensor, dtype: DType) -> Result<u64> {
        if !tensor.is_contiguous() {
            bail!("a kernel was given a tensor that is not in one piece: {:?}", tensor.layout());
        }
        self.start(tensor, dtype)
    }

    /// As [`Gpu::address`], of a tensor (rows, width) whose rows may lie apart; also how many elements there are from a row
    /// to the next.
    pub(super) fn rows(&self, tensor: &Tensor, dtype: DType) -> Result<(u64, usize)> {
        match (tensor.dims(), tensor.stride()) {
            (&[_, width], &[stride, 1]) if stride >= width => Ok((self.start(tensor, dtype)?, stride)),
            _ => bail!("a kernel was given a tensor whose rows are not in one piece: {:?}", tensor.layout()),
        }
    }

    fn start(&self, tensor: &Tensor, dtype: DType) -> Result<u64> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(cuda) = &*storage else { bail!("a kernel of the GPU was given a tensor of the CPU") };
        if tensor.dtype() != dtype {
            bail!("a kernel was given a tensor of {:?} that is not {dtype:?}", tensor.dtype());
        }
        let stream = self.device.cuda_stream();
        let start = match dtype {
            DType::U8 => cuda.as_cuda_slice::<u8>()?.device_ptr(&stream).0,
            DType::F32 => cuda.as_cuda_slice::<f32>()?.device_ptr(&stream).0,
            DType::BF16 => cuda.as_cuda_slice::<bf16>()?.device_ptr(&stream).0,
            DType::F16 => cuda.as_cuda_slice::<f16>()?.device_ptr(&stream).0,
            other => bail!("no kernel takes {other:?}"),
        };
        Ok(start + (layout.start_offset() * dtype.size_in_bytes()) as u64)
    }

    /// Launches a kernel; a grid without blocks is no work.
    pub(super) fn run<A: DeviceRepr>(&self, launch: &Launch, arguments: &A) -> Result<()> {
        if launch.grid.0 == 0 || launch.grid.1 == 0 {
            return Ok(());
        }
        let function = self.function(launch)?;
        let stream = self.device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        builder.arg(arguments);
        let grid_dim = (launch.grid.0, launch.grid.1, 1);
        let config = LaunchConfig { grid_dim, block_dim: (launch.threads, 1, 1), shared_mem_bytes: launch.shared };
        // SAFETY: the arguments are the kernel's own, and its callers have checked types and shapes.
        unsafe { builder.launch(config) }.map_err(failed)?;
        Ok(())
    }

    fn function(&self, launch: &Launch) -> Result<CudaFunction> {
        let mut functions = self.functions.lock().map_err(failed)?;
        if let Some(function) = functions.get(&launch.kernel) {
            return Ok(function.clone());
        }
        let Some(ptx) = ptx(launch.file, self.capability) else { bail!("no kernels for {}", self.capability) };
        let function = self.device.get_or_load_custom_func(&launch.kernel, launch.file, ptx)?.into_cuda_function();
        let shared = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(shared, launch.shared as i32).map_err(failed)?;
        functions.insert(launch.kernel.clone(), function.clone());
        Ok(function)
    }
}

/// Whether this is a Hopper for which its own kernels were compiled, and RONBUN_HOPPER=1 asks for them: no GPU has run
/// them yet.
fn takes_hopper(capability: u32) -> bool {
    let compiled = |(name, of, alone, _): &(&str, u32, bool, &str)| *name == HOPPER && *of == capability && *alone;
    capability == 90 && PTX.iter().any(compiled) && env::var("RONBUN_HOPPER").is_ok_and(|set| set == "1")
}

/// The best that was compiled of a file for chips of this capability.
fn ptx(file: &str, capability: u32) -> Option<&'static str> {
    let fits = |(name, of, alone, _): &&(&str, u32, bool, &str)| {
        *name == file && if *alone { *of == capability } else { *of <= capability }
    };
    PTX.iter().filter(fits).max_by_key(|(_, of, alone, _)| (*of, *alone)).map(|(.., ptx)| *ptx)
}

pub(super) fn failed(error: impl Display) -> Error {
    Error::Msg(format!("CUDA: {error}"))
}
