#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    ronbun::cli::main()
}
