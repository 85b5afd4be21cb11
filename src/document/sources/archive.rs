//! Archives as arXiv gives them out: a gzipped tar, or one gzipped file. Untrusted: only text is
//! kept, and sizes are bounded.

use super::encoding;
use crate::{Error, Kind, Result};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind, Read};
use std::path::{Component, Path};

/// Files of an archive that are text, by their path inside it.
pub type Members = BTreeMap<String, Vec<u8>>;

/// The most that is unpacked, in bytes, figures included.
const MOST_UNPACKED: u64 = 1 << 30;
/// The most text that a paper holds, in bytes.
pub const MOST_TEXT: usize = 32 << 20;
const MOST_MEMBERS: usize = 20_000;
/// Endings of the names of files that LaTeX reads as text.
const TEXT: [&str; 11] = ["tex", "ltx", "latex", "bbl", "bib", "sty", "cls", "def", "txt", "md", "inc"];
/// Where a tar header says that it is one.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b") || is_tar(bytes)
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(TAR_MAGIC).is_some_and(|magic| magic == b"ustar")
}

/// What a file looks like that is neither text nor any archive that is read, from its first bytes.
pub fn signature(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 10] = [
        (b"PK\x03\x04", "looks like a zip archive or an Office document"),
        (b"\xd0\xcf\x11\xe0", "looks like an old Office document"),
        (b"%!PS", "is PostScript"),
        (b"\x89PNG", "is a PNG image"),
        (b"\xff\xd8\xff", "is a JPEG image"),
        (b"GIF8", "is a GIF image"),
        (b"{\\rtf", "is an RTF document"),
        (b"AT&TFORM", "is a DjVu document"),
        (b"BZh", "is a bzip2 archive"),
        (b"\xfd7zXZ", "is an xz archive"),
    ];
    SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)).map(|(_, name)| *name)
}

/// The first bytes of a file as a message shows them.
pub fn start_of(bytes: &[u8]) -> String {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
    let shown: String = start.chars().take(16).flat_map(char::escape_default).collect();
    format!("starts with \"{shown}\"")
}

/// The text files of an archive; of a single gzipped file, that file under the archive's own name.
pub fn members(file: &Path, bytes: &[u8]) -> Result<Members> {
    members_within(file, bytes, MOST_TEXT)
}

/// With `most` bytes of text.
fn members_within(file: &Path, bytes: &[u8], most: usize) -> Result<Members> {
    if is_tar(bytes) {
        return untar(file, Cursor::new(bytes), most);
    }
    let mut unpacked = MultiGzDecoder::new(bytes).take(MOST_UNPACKED);
    let mut head = Vec::new();
    (&mut unpacked).take(512).read_to_end(&mut head).map_err(|error| damaged(file, &error))?;
    if is_tar(&head) {
        return untar(file, Cursor::new(head).chain(unpacked), most);
    }
    if head.starts_with(b"%PDF") {
        return Err(Error::new(Kind::Input, file.display(), "is a gzipped PDF").hint("unpack it first (gunzip)"));
    }
    let mut text = head;
    let mut rest = unpacked.take(most as u64 + 1);
    rest.read_to_end(&mut text).map_err(|error| damaged(file, &error))?;
    if text.len() > most {
        return Err(too_large(file, "text"));
    }
    if !encoding::is_text(&text) {
        let problem = format!("is a gzip archive without LaTeX: what is in it {}", start_of(&text));
        return Err(
            Error::new(Kind::Input, file.display(), problem).hint("give the e-print as arXiv has it, or the PDF")
        );
    }
    Ok(Members::from([("main.tex".to_string(), text)]))
}

fn untar(file: &Path, reader: impl Read, most: usize) -> Result<Members> {
    let mut archive = tar::Archive::new(reader.take(MOST_UNPACKED));
    let mut members = Members::new();
    let mut kept = 0;
    let entries = archive.entries().map_err(|error| damaged(file, &error))?;
    for (index, entry) in entries.enumerate() {
        crate::interrupt::check()?;
        let entry = entry.map_err(|error| damaged(file, &error))?;
        if index >= MOST_MEMBERS {
            return Err(too_large(file, "files"));
        }
        let Some(name) = entry.path().ok().and_then(|path| inner_name(&path)) else { continue };
        if !entry.header().entry_type().is_file() || !has_text_name(&name) {
            continue;
        }
        let mut text = Vec::new();
        entry.take((most - kept) as u64 + 1).read_to_end(&mut text).map_err(|error| damaged(file, &error))?;
        kept += text.len();
        if kept > most {
            return Err(too_large(file, "text"));
        }
        if encoding::is_text(&text) {
            members.insert(name, text);
        }
    }
    Ok(members)
}

/// A member's path with `/` between its parts; none for one that leads out of the archive.
pub fn inner_name(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn has_text_name(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| TEXT.contains(&extension.to_lowercase().as_str()))
}

fn damaged(file: &Path, error: &std::io::Error) -> Error {
    let problem = match error.kind() {
        ErrorKind::UnexpectedEof => "the archive ends too early".to_string(),
        _ => format!("the archive is damaged: {error}"),
    };
    Error::new(Kind::Damaged, file.display(), problem).hint("fetch it again")
}

fn too_large(file: &Path, what: &str) -> Error {
    let problem = format!("the archive holds more {what} than any paper");
    Error::new(Kind::Input, file.display(), problem).hint("give the paper's own sources alone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished")
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            // Past the checks of `set_path`: hostile names are what is tested.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, *bytes).expect("appended");
        }
        builder.into_inner().expect("finished")
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        members(Path::new("e.tar.gz"), bytes).expect("an archive").into_keys().collect()
    }

    #[test]
    fn text_is_kept_and_nothing_leads_outside() {
        let files: [(&str, &[u8]); 6] = [
            ("main.tex", b"x"),
            ("./sec/a.tex", b"x"),
            ("../evil.tex", b"x"),
            ("/etc/evil.tex", b"x"),
            ("fig.png", b"x"),
            ("binary.tex", b"\0\0"),
        ];
        let tar = tar(&files);
        assert_eq!(names(&tar), ["main.tex", "sec/a.tex"]);
        assert_eq!(names(&gzip(&tar)), ["main.tex", "sec/a.tex"]);
        assert_eq!(names(&gzip(b"\\documentclass{article}")), ["main.tex"]);
    }

    #[test]
    fn broken_and_hostile_archives_are_refused() {
        let kind = |bytes: &[u8]| members(Path::new("e.tar.gz"), bytes).expect_err("refused").kind;
        let whole = gzip(&tar(&[("main.tex", &[b'x'; 5000])]));
        assert_eq!(kind(&whole[..whole.len() / 2]), Kind::Damaged);
        assert_eq!(kind(b"\x1f\x8bgarbage"), Kind::Damaged);
        assert_eq!(kind(&gzip(b"%PDF-1.4")), Kind::Input);
        for bomb in [gzip(&[b' '; 9000]), gzip(&tar(&[("a.tex", &[b' '; 5000]), ("b.tex", &[b' '; 5000])]))] {
            let error = members_within(Path::new("e.tar.gz"), &bomb, 8192).expect_err("a bomb");
            assert_eq!(error.kind, Kind::Input, "{error}");
        }
    }
}
