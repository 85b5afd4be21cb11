//! What an encrypted PDF's owner forbids. A password that opens the file is enough to read it; the wish is reported.
//!
//! The permissions stand unencrypted in the file, as `/P` beside `/Filter /Standard`. PDFium tells them too, but its
//! binding reads another bit and knows no AES-256.

use regex::bytes::Regex;

/// How far from the handler's name the other entries of its dictionary stand at most, in bytes: two strings of 127 bytes,
/// written in hexadecimal or with escapes, and a few short ones.
const REACH: usize = 2000;
/// Bit 5 of the permissions: copying text and pictures.
const COPYING: i64 = 1 << 4;

/// Whether the owner forbids copying text.
pub fn forbids_copying(bytes: &[u8]) -> bool {
    let handler = pattern(r"/Filter\s*/Standard\b");
    let permissions = pattern(r"/P\s+(-?\d{1,10})\b");
    let around = handler.find(bytes).map(|found| {
        let end = bytes.len().min(found.end() + REACH);
        &bytes[found.start().saturating_sub(REACH)..end]
    });
    let value = around.and_then(|around| number(&permissions, around));
    value.is_some_and(|permissions| permissions & COPYING == 0)
}

fn pattern(pattern: &'static str) -> Regex {
    Regex::new(pattern).expect("a constant that the tests use")
}

fn number(pattern: &Regex, bytes: &[u8]) -> Option<i64> {
    let captures = pattern.captures(bytes)?;
    std::str::from_utf8(captures.get(1)?.as_bytes()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_for_copying_is_read() {
        for (dictionary, forbids) in [
            ("<< /Filter /Standard /V 1 /R 2 /P -4 /O <00> >>", false),
            ("<< /O (x) /P -3904 /R 4 /Filter/Standard >>", true),
            ("<< /P 4294967292 /Filter /Standard >>", false),
            ("<< /P 4294963168 /Filter /Standard >>", true),
            ("<< /Filter /Standard /Perms (x) >>", false),
            ("<< /P 12 /Parent 3 0 R >>", false),
            ("<< /Filter /StandardX /P 12 >>", false),
        ] {
            assert_eq!(forbids_copying(dictionary.as_bytes()), forbids, "{dictionary}");
        }
    }
}
