//! The threads that kernels share. A layer is some twenty kernels of a fraction of a millisecond each, so what counts is how
//! soon the others begin: between kernels that follow each other they watch for the next one, and go to sleep when none has
//! come for a moment.
//!
//! Each thread begins with tasks of its own share, the same in every job of as many tasks: kernels that go through rows in the
//! same order find the rows that they wrote in their own processor's cache. Then it takes what is left of the others' shares,
//! so that a thread that the machine holds up holds up nobody else.

use std::{
    any::Any,
    cell::{Cell, UnsafeCell},
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a thread without work watches for some before it sleeps.
const WATCH: Duration = Duration::from_micros(200);
/// Looks at the gate between looks at the clock.
const LOOKS: usize = 64;

/// In [`Pool::gate`]: the job may be entered.
const OPEN: u64 = 1 << 16;
/// In [`Pool::gate`]: one thread inside the job.
const ONE: u64 = 1;
/// In [`Pool::gate`]: one job later.
const NEXT: u64 = 1 << 17;

type Work = dyn Fn(usize) + Sync;

/// On a cache line of its own.
#[repr(align(128))]
struct Next(AtomicUsize);

struct Pool {
    threads: usize,
    /// Held by the thread whose job this is.
    owner: Mutex<()>,
    /// How many jobs there were, whether the last one may be entered, and the threads inside it, its owner not counted.
    gate: AtomicU64,
    /// The job, as long as the gate is open or somebody is inside.
    job: UnsafeCell<Option<(*const Work, usize)>>,
    /// For each thread the next task of its share; the caller's is the first.
    next: Vec<Next>,
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    asleep: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `job` is written only by the owner while nobody is inside and the gate is closed, and read only by those inside.
unsafe impl Sync for Pool {}
// SAFETY: as above.
unsafe impl Send for Pool {}

static POOL: OnceLock<&'static Pool> = OnceLock::new();
static WANTED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is in the middle of a task.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Lets kernels run on `threads` threads, the caller's included. Returns false if they already run on another number.
pub fn set_threads(threads: usize) -> bool {
    WANTED.store(threads.max(1), Ordering::Relaxed);
    self::threads() == threads.max(1)
}

/// Threads that kernels run on, the caller's included.
pub fn threads() -> usize {
    pool().threads
}

fn pool() -> &'static Pool {
    POOL.get_or_init(|| {
        let threads = match WANTED.load(Ordering::Relaxed) {
            0 => thread::available_parallelism().map_or(1, usize::from),
            wanted => wanted,
        };
        let pool: &'static Pool = Box::leak(Box::new(Pool {
            threads,
            owner: Mutex::new(()),
            gate: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: (0..threads).map(|_| Next(AtomicUsize::new(0))).collect(),
            panicked: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            asleep: Mutex::new(()),
            wake: Condvar::new(),
        }));
        for number in 1..threads {
            let builder = thread::Builder::new().name(format!("kernels-{number}"));
            // One that cannot be started is missed by nobody: tasks are taken by those that are there.
            let _ = builder.spawn(move || pool.serve(number));
        }
        pool
    })
}

/// Runs `task` for 0 to `tasks - 1`, on all threads that are free; returns when all are done. A task that itself runs tasks
/// runs them alone, and so does a thread while another one's tasks are being run. A panic of a task is the caller's.
pub fn run(tasks: usize, task: impl Fn(usize) + Sync) {
    let pool = pool();
    let alone = tasks < 2 || pool.threads == 1 || INSIDE.get();
    match if alone { None } else { pool.own() } {
        Some(_owner) => pool.share(tasks, &task),
        None => (0..tasks).for_each(task),
    }
}

/// Runs `task` for every `size` elements of `x`, the last ones perhaps fewer, with their number.
pub fn chunks_mut<T: Send>(x: &mut [T], size: usize, task: impl Fn(usize, &mut [T]) + Sync) {
    let whole = Parts::new(x);
    run(whole.len.div_ceil(size), |index| {
        // SAFETY: each chunk is one task's.
        task(index, unsafe { whole.part(index * size..whole.len.min((index + 1) * size)) });
    });
}

/// A slice that several tasks fill, each a part of its own.
pub(crate) struct Parts<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: parts are disjoint, which `part` asks its callers for.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub(crate) fn new(x: &mut [T]) -> Parts<T> {
        Parts { start: x.as_mut_ptr(), len: x.len() }
    }

    /// # Safety
    /// The slice is still borrowed by whoever made the parts, and no two parts that are held at a time overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part of the slice");
        // SAFETY: within the slice; the rest is the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

impl Pool {
    /// Nothing if another thread's tasks are being run.
    fn own(&self) -> Option<MutexGuard<'_, ()>> {
        match self.owner.try_lock() {
            Ok(owner) => Some(owner),
            // A task that panicked did no harm to the pool.
            Err(TryLockError::Poisoned(owner)) => Some(owner.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Shares tasks with the other threads. The caller is the owner.
    fn share(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only its lifetime is changed; nobody uses it after `Closing` has waited for all who are inside.
        let work: *const Work = unsafe { std::mem::transmute(std::ptr::from_ref(task)) };
        // SAFETY: the gate is closed and nobody is inside.
        unsafe { *self.job.get() = Some((work, tasks)) };
        for (thread, next) in self.next.iter().enumerate() {
            next.0.store(self.share_of(thread, tasks).start, Ordering::Relaxed);
        }
        let number = self.gate.load(Ordering::Relaxed) / NEXT + 1;
        self.gate.store((number * NEXT) | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        let closing = Closing(self);
        self.work(0, task, tasks);
        drop(closing);
        let panicked = self.panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panicked) = panicked {
            panic::resume_unwind(panicked);
        }
    }

    fn share_of(&self, thread: usize, tasks: usize) -> Range<usize> {
        thread * tasks / self.threads..(thread + 1) * tasks / self.threads
    }

    /// Takes tasks until there are none: its own first.
    fn work(&self, thread: usize, task: &(dyn Fn(usize) + Sync), tasks: usize) {
        let _inside = Inside::new();
        for other in 0..self.threads {
            let other = (thread + other) % self.threads;
            let end = self.share_of(other, tasks).end;
            loop {
                let index = self.next[other].0.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                task(index);
            }
        }
    }

    /// Lets no more tasks begin.
    fn stop(&self) {
        self.next.iter().for_each(|next| next.0.store(usize::MAX / 2, Ordering::Relaxed));
    }

    /// What a thread of the pool does.
    fn serve(&self, thread: usize) {
        let mut done = 0;
        loop {
            done = self.wait_for_job(done);
            if !self.enter(done) {
                continue;
            }
            // SAFETY: this thread is inside, so the job stays what it is and what it refers to lives.
            let (work, tasks) = unsafe { (*self.job.get()).expect("a job whose gate was open") };
            // SAFETY: as above.
            let work = unsafe { &*work };
            if let Err(panicked) = panic::catch_unwind(AssertUnwindSafe(|| self.work(thread, work, tasks))) {
                self.stop();
                self.panicked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panicked);
            }
            self.gate.fetch_sub(ONE, Ordering::Release);
        }
    }

    /// Waits until a job is there that is newer than `done`; its number.
    fn wait_for_job(&self, done: u64) -> u64 {
        let newer = || {
            let gate = self.gate.load(Ordering::SeqCst);
            (gate & OPEN != 0 && gate / NEXT > done).then_some(gate / NEXT)
        };
        let start = Instant::now();
        while start.elapsed() < WATCH {
            for _ in 0..LOOKS {
                if let Some(number) = newer() {
                    return number;
                }
                std::hint::spin_loop();
            }
        }
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let number = loop {
            if let Some(number) = newer() {
                break number;
            }
            asleep = self.wake.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        number
    }

    /// Goes inside the job of this number, unless its gate has been closed.
    fn enter(&self, number: u64) -> bool {
        let mut gate = self.gate.load(Ordering::Relaxed);
        while gate & OPEN != 0 && gate / NEXT == number {
            match self.gate.compare_exchange_weak(gate, gate + ONE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => gate = now,
            }
        }
        false
    }
}

/// Marks this thread as being in the middle of a task.
struct Inside {
    before: bool,
}

impl Inside {
    fn new() -> Inside {
        Inside { before: INSIDE.replace(true) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

/// Closes the gate and waits for those inside, also when the owner's own task panics.
struct Closing<'a>(&'a Pool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
        self.0.gate.fetch_and(!OPEN, Ordering::Relaxed);
        let mut looks = 0usize;
        while self.0.gate.load(Ordering::Acquire) & (OPEN - 1) != 0 {
            looks += 1;
            // Somebody inside may need this thread's processor.
            if looks.is_multiple_of(10_000) { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_run_once_also_from_several_threads_and_from_tasks() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for tasks in (0..200).chain([1000]) {
                        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                        run(tasks, |index| {
                            counts[index].fetch_add(1, Ordering::Relaxed);
                            run(2, |_| ());
                        });
                        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{tasks} tasks");
                    }
                });
            }
        });
    }

    #[test]
    fn threads_that_slept_are_woken() {
        for _ in 0..20 {
            thread::sleep(3 * WATCH);
            let sum = AtomicUsize::new(0);
            run(100, |index| {
                sum.fetch_add(index, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_of_a_task_is_the_callers_and_the_pool_goes_on() {
        for bad in [0, 7, 99] {
            let result = panic::catch_unwind(|| {
                run(100, |index| {
                    thread::sleep(Duration::from_micros(50));
                    assert_ne!(index, bad, "the bad one");
                });
            });
            assert!(result.is_err(), "{bad}");
            let count = AtomicUsize::new(0);
            run(10, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 10);
        }
    }

    #[test]
    fn chunks_are_disjoint_and_all_there() {
        let mut x = vec![0usize; 1001];
        chunks_mut(&mut x, 10, |index, chunk| chunk.fill(index + 1));
        assert!(x.iter().enumerate().all(|(at, value)| *value == at / 10 + 1));
    }
}
