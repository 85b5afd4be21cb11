//! llama.cpp, as far as a comparison needs it. The one file of this crate with `unsafe`.
#![allow(unsafe_code)]

use llama_cpp_sys_2::*;
use ronbun::{Error, Kind, Result};
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::Once;

/// Tokens that are computed at a time: llama.cpp's own choice of a micro-batch.
const MICRO_BATCH: usize = 512;

/// A GGUF file, loaded with llama.cpp's own settings: memory-mapped, weights repacked where it has a kernel for that.
pub struct Model(NonNull<llama_model>);

impl Model {
    pub fn open(path: &Path) -> Result<Model> {
        static START: Once = Once::new();
        // SAFETY: called once, before anything else of the library; `complain` fits the type that is asked for.
        START.call_once(|| unsafe {
            llama_log_set(Some(complain), null_mut());
            llama_backend_init();
        });
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|error| Error::new(Kind::Usage, path.display(), error))?;
        // SAFETY: the name ends in a zero byte and outlives the call.
        let model = unsafe { llama_model_load_from_file(name.as_ptr(), llama_model_default_params()) };
        let refused = || Error::new(Kind::Model, path.display(), "llama.cpp does not load it");
        NonNull::new(model).map(Model).ok_or_else(refused)
    }

    /// Tokens that it knows, and so the logits after each.
    pub fn vocabulary(&self) -> usize {
        // SAFETY: the model is alive, and its vocabulary lives as long.
        unsafe { llama_vocab_n_tokens(llama_model_get_vocab(self.0.as_ptr())) as usize }
    }
}

/// What llama.cpp was compiled for, in its own words.
pub fn features() -> String {
    // SAFETY: a text of the library's own that ends in a zero byte; nothing else asks for it at the same time.
    unsafe { CStr::from_ptr(llama_print_system_info()) }.to_string_lossy().trim_end_matches(['|', ' ']).to_string()
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by `open`, and every session borrows the model.
        unsafe { llama_model_free(self.0.as_ptr()) }
    }
}

/// Errors go to stderr; llama.cpp's account of itself goes nowhere.
unsafe extern "C" fn complain(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level == GGML_LOG_LEVEL_ERROR && !text.is_null() {
        // SAFETY: not null, and llama.cpp's texts end in a zero byte.
        eprint!("llama.cpp: {}", unsafe { CStr::from_ptr(text) }.to_string_lossy());
    }
}

#[derive(Clone, Copy)]
pub struct Setting {
    /// Of all branches together, the shared ones counted once.
    pub tokens: usize,
    pub branches: usize,
    pub flash: bool,
    pub threads: usize,
}

/// A KV cache in f16 (llama.cpp's default), and threads that stay for as long as it does.
pub struct Session<'a> {
    model: &'a Model,
    context: NonNull<llama_context>,
    threads: NonNull<ggml_threadpool>,
    /// Tokens of branch 0.
    len: usize,
}

#[derive(Clone, Copy)]
struct Token {
    id: u32,
    branch: usize,
    position: usize,
    /// Whether its logits are wanted.
    looked: bool,
}

impl<'a> Session<'a> {
    pub fn new(model: &'a Model, setting: Setting) -> Result<Session<'a>> {
        let Setting { tokens, branches, flash, threads } = setting;
        let room = || Error::new(Kind::Memory, "llama.cpp", format!("makes no cache for {tokens} tokens"));
        // SAFETY: plain values.
        let mut params = unsafe { llama_context_default_params() };
        params.n_ctx = tokens as u32;
        params.n_batch = MICRO_BATCH as u32;
        params.n_ubatch = MICRO_BATCH as u32;
        params.n_seq_max = branches as u32;
        // One cache for all branches, so that they can share cells.
        params.kv_unified = true;
        params.n_threads = threads as i32;
        params.n_threads_batch = threads as i32;
        params.flash_attn_type = match flash {
            true => LLAMA_FLASH_ATTN_TYPE_ENABLED,
            false => LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        // SAFETY: the model is alive, and outlives the session.
        let context = unsafe { llama_init_from_model(model.0.as_ptr(), params) };
        let context = NonNull::new(context).ok_or_else(room)?;
        // SAFETY: plain values in, a pool of the session's own out, which `drop` frees.
        let pool = unsafe { ggml_threadpool_new(&mut ggml_threadpool_params_default(threads as i32)) };
        let Some(pool) = NonNull::new(pool) else {
            // SAFETY: made above, and given to nobody.
            unsafe { llama_free(context.as_ptr()) };
            return Err(room());
        };
        // SAFETY: both are alive, and `drop` frees the context first.
        unsafe { llama_attach_threadpool(context.as_ptr(), pool.as_ptr(), pool.as_ptr()) };
        Ok(Session { model, context, threads: pool, len: 0 })
    }

    /// Appends tokens to branch 0; the logits after those in `looked`, by their places in `ids`.
    pub fn read(&mut self, ids: &[u32], looked: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::with_capacity(looked.len());
        let tokens: Vec<Token> = (0..ids.len())
            .map(|i| Token { id: ids[i], branch: 0, position: self.len + i, looked: looked.contains(&i) })
            .collect();
        for tokens in tokens.chunks(MICRO_BATCH) {
            self.run(tokens)?;
            let rows = (0..tokens.len()).filter(|&row| tokens[row].looked);
            logits.extend(rows.map(|row| self.logits(row)));
            self.len += tokens.len();
        }
        Ok(logits)
    }

    /// Branches from 1 on see what branch 0 holds, in the same cells.
    pub fn share(&mut self, branches: usize) {
        for branch in 1..branches {
            // SAFETY: the context is alive; the branches' numbers are below the number that it was made for.
            unsafe { llama_memory_seq_cp(llama_get_memory(self.context.as_ptr()), 0, branch as i32, 0, -1) };
        }
    }

    /// One token for each branch, behind what is shared and `written` more. Their logits are computed and left.
    pub fn step(&mut self, ids: impl Iterator<Item = u32>, written: usize) -> Result<()> {
        let position = self.len + written;
        let token = |(branch, id)| Token { id, branch, position, looked: true };
        let tokens: Vec<Token> = ids.enumerate().map(token).collect();
        self.run(&tokens)
    }

    /// Forgets what `branches` branches have written behind what they share.
    pub fn rewind(&mut self, branches: usize) {
        for branch in 0..branches {
            // SAFETY: as in `share`.
            unsafe {
                llama_memory_seq_rm(llama_get_memory(self.context.as_ptr()), branch as i32, self.len as i32, -1);
            }
        }
    }

    /// Computes the tokens, and waits until they are.
    fn run(&mut self, tokens: &[Token]) -> Result<()> {
        let mut ids: Vec<llama_token> = tokens.iter().map(|token| token.id as i32).collect();
        let mut positions: Vec<llama_pos> = tokens.iter().map(|token| token.position as i32).collect();
        let mut branches: Vec<llama_seq_id> = tokens.iter().map(|token| token.branch as i32).collect();
        let mut of_each: Vec<*mut llama_seq_id> = branches.iter_mut().map(|branch| branch as *mut _).collect();
        let mut counts = vec![1; tokens.len()];
        let mut looked: Vec<i8> = tokens.iter().map(|token| i8::from(token.looked)).collect();
        let batch = llama_batch {
            n_tokens: tokens.len() as i32,
            token: ids.as_mut_ptr(),
            embd: null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: of_each.as_mut_ptr(),
            logits: looked.as_mut_ptr(),
        };
        // SAFETY: every list is as long as `n_tokens` says and outlives the call, which keeps none of them.
        let code = unsafe {
            let code = llama_decode(self.context.as_ptr(), batch);
            llama_synchronize(self.context.as_ptr());
            code
        };
        match code {
            0 => Ok(()),
            1 => Err(Error::new(Kind::Memory, "llama.cpp", "has no room for the tokens in its cache")),
            code => Err(Error::new(Kind::Internal, "llama.cpp", format!("fails with {code}"))),
        }
    }

    /// Of a row of the last batch that was looked at.
    fn logits(&self, row: usize) -> Vec<f32> {
        // SAFETY: the context is alive.
        let logits = unsafe { llama_get_logits_ith(self.context.as_ptr(), row as i32) };
        assert!(!logits.is_null(), "row {row} was not looked at");
        // SAFETY: not null, so as many as the vocabulary has, until the next batch.
        unsafe { std::slice::from_raw_parts(logits, self.model.vocabulary()) }.to_vec()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`; the context that uses the threads goes first.
        unsafe {
            llama_free(self.context.as_ptr());
            ggml_threadpool_free(self.threads.as_ptr());
        }
    }
}
