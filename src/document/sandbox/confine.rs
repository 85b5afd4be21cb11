//! What the kernel refuses this process from here on: files and the network (Landlock), and every system call that
//! reading needs not (seccomp).

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Where PDFium looks for the fonts that a file does not bring along.
const FONTS: [&str; 4] =
    ["/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/X11/fonts/Type1", "/usr/share/X11/fonts/TTF"];

/// Calls without which no program reads and computes.
const ALLOWED: [c_long; 56] = [
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Files that are open, or may be opened; Landlock and `READ_ONLY` decide on those.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_getcwd,
    libc::SYS_ppoll,
    // Threads and signals of this process.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_getcpu,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Who and when.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_times,
    libc::SYS_gettimeofday,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_statfs,
];

/// What older processors' numbers have beside these.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: [c_long; 8] = [
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_poll,
    libc::SYS_time,
    libc::SYS_getrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: [c_long; 0] = [];

/// Flags of `open` that would let a file be changed.
const CHANGES: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;

/// Takes everything away that reading a file in memory does not need. For the calling thread and those that it starts.
/// What could not be taken away is told.
pub fn confine() -> Vec<String> {
    let refused = |what: &str, error: &dyn std::fmt::Display| format!("the reader goes without {what}: {error}");
    let mut missing = Vec::new();
    match restrict_files() {
        Ok(RulesetStatus::NotEnforced) => missing.push(refused("Landlock", &"this kernel has none")),
        Ok(_) => {}
        Err(error) => missing.push(refused("Landlock", &error)),
    }
    if let Err(error) = restrict_calls() {
        missing.push(refused("seccomp", &error));
    }
    missing
}

/// No file but fonts, no network, no signals to others, as far as the kernel knows these.
fn restrict_files() -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V6;
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(FONTS, AccessFs::ReadFile | AccessFs::ReadDir))?;
    Ok(rules.restrict_self()?.ruleset)
}

/// Every call that is not listed fails as on a kernel that does not have it, which is what C libraries are prepared for.
fn restrict_calls() -> Result<(), seccompiler::Error> {
    let filter: BpfProgram = filter()?.try_into()?;
    seccompiler::apply_filter(&filter)
}

fn filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    let mut rules: std::collections::BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().chain(&ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    let read_only = SeccompCmpOp::MaskedEq(CHANGES);
    rules.insert(libc::SYS_openat, only_if(2, read_only.clone(), libc::O_RDONLY as u64)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, only_if(1, read_only, libc::O_RDONLY as u64)?);
    // Threads, but no processes.
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, only_if(0, SeccompCmpOp::MaskedEq(thread), thread)?);
    // A process that must end in an abort sends itself the signal.
    rules.insert(libc::SYS_tgkill, only_if(0, SeccompCmpOp::Eq, std::process::id().into())?);
    // Limits may be looked at.
    rules.insert(libc::SYS_prlimit64, only_if(2, SeccompCmpOp::Eq, 0)?);
    let refuse = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)
}

/// The call is allowed where its argument compares with `value`.
fn only_if(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, compare, value)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::{TcpStream, UdpSocket};
    use std::process::Command;

    /// What `attempt` gives in a thread that is confined, as the whole child is.
    fn confined<T: Send + 'static>(attempt: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(|| {
            let missing = confine();
            assert!(missing.is_empty(), "{missing:?}");
            attempt()
        });
        thread.join().expect("no panic")
    }

    #[test]
    fn nothing_goes_out_and_nothing_is_started() {
        let failures = confined(|| {
            [
                UdpSocket::bind("127.0.0.1:0").is_err(),
                TcpStream::connect("127.0.0.1:9").is_err_and(|error| error.raw_os_error() == Some(libc::ENOSYS)),
                Command::new("/bin/true").status().is_err(),
                std::os::unix::net::UnixStream::pair().is_err(),
            ]
        });
        assert_eq!(failures, [true; 4]);
    }

    #[test]
    fn files_can_be_neither_read_nor_written_nor_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("kept");
        std::fs::write(&kept, "as it was").expect("written");
        let (new, old) = (folder.path().join("new"), kept.clone());
        let failures = confined(move || {
            [
                File::create(new).is_err(),
                File::open(&old).is_err(),
                File::options().append(true).open(&old).is_err(),
                std::fs::remove_file(&old).is_err(),
                std::fs::read_to_string("/etc/passwd").is_err(),
                std::fs::read_dir("/").is_err(),
            ]
        });
        assert_eq!(failures, [true; 6]);
        assert_eq!(std::fs::read_to_string(kept).expect("still there"), "as it was");
    }

    #[test]
    fn calls_alone_keep_files_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("kept");
        std::fs::write(&kept, "as it was").expect("written");
        let file = kept.clone();
        let thread = std::thread::spawn(move || {
            restrict_calls().expect("seccomp");
            let read = std::fs::read_to_string(&file);
            let changed = [File::create(&file).is_err(), File::options().append(true).open(&file).is_err()];
            (read.is_ok(), changed, std::fs::remove_file(&file).is_err())
        });
        assert_eq!(thread.join().expect("no panic"), (true, [true; 2], true));
    }

    #[test]
    fn threads_memory_and_fonts_are_still_there() {
        let sum = confined(|| {
            let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(move || vec![n; 1 << 20].len())).collect();
            let sum: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
            let fonts = FONTS.iter().filter(|folder| std::path::Path::new(folder).is_dir());
            assert!(fonts.clone().all(|folder| std::fs::read_dir(folder).is_ok()));
            sum
        });
        assert_eq!(sum, 4 << 20);
    }
}
