//! The program `tesseract`, found where the shell would find it.

use super::Picture;
use crate::{Error, Kind, Result, interrupt};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A page takes seconds.
const LONGEST: Duration = Duration::from_secs(180);
/// How often a Tesseract that works is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of the longest table that is taken; a full page has 100 kB.
const LONGEST_TABLE: u64 = 16 << 20;

pub struct Tesseract {
    languages: Vec<String>,
}

impl Tesseract {
    pub fn find() -> Option<Tesseract> {
        let output = Command::new("tesseract").arg("--list-langs").stdin(Stdio::null()).output().ok()?;
        // Its first line says where they are.
        let lines = String::from_utf8_lossy(&output.stdout).lines().skip(1).map(str::to_string).collect();
        output.status.success().then_some(Tesseract { languages: lines })
    }

    pub fn knows(&self, language: &str) -> bool {
        self.languages.iter().any(|known| known == language)
    }

    /// The words of the picture as Tesseract's table.
    pub fn recognise(&self, picture: &Picture, languages: &str) -> Result<String> {
        let failed = |problem: String| Error::new(Kind::Internal, "tesseract", problem).hint("read without --ocr");
        let mut child = Command::new("tesseract")
            .args(["stdin", "stdout", "-l", languages, "--dpi", &format!("{:.0}", picture.resolution), "tsv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("has no pipes".into()));
        };
        let pgm = picture.pgm();
        std::thread::scope(|scope| {
            // A Tesseract that ends early says why on stderr.
            scope.spawn(move || stdin.write_all(&pgm));
            let table = scope.spawn(|| text(stdout));
            let remarks = scope.spawn(|| text(stderr));
            let ended = wait(&mut child);
            let (table, remarks) = (table.join().unwrap_or_default(), remarks.join().unwrap_or_default());
            match ended? {
                Some(true) => Ok(table),
                Some(false) => Err(failed(format!("fails: {}", remarks.lines().last().unwrap_or("no reason given")))),
                None => Err(failed(format!("took longer than {} s for a page", LONGEST.as_secs()))),
            }
        })
    }
}

fn text(pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.take(LONGEST_TABLE).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether it ended well; none if it was ended for its time.
fn wait(child: &mut Child) -> Result<Option<bool>> {
    let start = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Ok(Some(status.success()));
        }
        let interrupted = interrupt::check();
        if interrupted.is_err() || start.elapsed() > LONGEST {
            let _ = child.kill();
            let _ = child.wait();
            return interrupted.map(|()| None);
        }
        std::thread::sleep(LOOK);
    }
}
