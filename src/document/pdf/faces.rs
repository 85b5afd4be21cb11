//! What a font's name says about the text that is set in it.

/// The kind of a font.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Face {
    #[default]
    Plain,
    Italic,
    /// Of a typewriter: code.
    Mono,
    /// Letters and symbols of formulas.
    Math,
}

impl Face {
    /// By the font's name: `ABCDEF+CMMI10`, `NimbusMonL-Regu`, `Times-Italic`.
    pub fn of(name: &str) -> Face {
        const MATH: [&str; 24] = [
            "cmmi", "cmsy", "cmex", "cmbsy", "cmmib", "msam", "msbm", "eufm", "eusm", "rsfs", "stmary", "wasy", "math",
            "rmtmi", "mtsy", "mtmi", "mtex", "txsy", "txmi", "txex", "pxsy", "pxmi", "symbol", "euex",
        ];
        const MONO: [&str; 20] = [
            "cmtt",
            "cmsltt",
            "sftt",
            "ectt",
            "lmtt",
            "lmmono",
            "mono",
            "nimbusmonl",
            "courier",
            "typewriter",
            "consol",
            "menlo",
            "monaco",
            "txtt",
            "pxtt",
            "zi4",
            "sourcecode",
            "firacode",
            "beramono",
            "cmvtt",
        ];
        let lower = name.to_lowercase();
        let base = lower.split_once('+').map_or(lower.as_str(), |(_, base)| base);
        let has = |names: &[&str]| names.iter().any(|part| base.contains(part));
        if has(&MONO) && !base.contains("monotype") {
            Face::Mono
        } else if has(&MATH) {
            Face::Math
        } else if has(&["ital", "obli", "cmti", "slant"]) || base.ends_with("-it") {
            Face::Italic
        } else {
            Face::Plain
        }
    }
}

/// The sign that TeX's symbol fonts (`CMSY10`, `CMEX10`) draw for a character, where a PDF gives only the font's own codes:
/// the fonts have no digits and no small letters, so that such a character is always a code.
pub fn tex_sign(font: &str, ch: char) -> Option<char> {
    const SYMBOLS: [(char, char); 18] = [
        ('0', '′'),
        ('1', '∞'),
        ('2', '∈'),
        ('3', '∋'),
        ('8', '∀'),
        ('9', '∃'),
        ('>', '⊤'),
        ('?', '⊥'),
        ('!', '→'),
        ('f', '{'),
        ('g', '}'),
        ('h', '⟨'),
        ('i', '⟩'),
        ('j', '|'),
        ('k', '‖'),
        ('p', '√'),
        ('r', '∇'),
        ('s', '∫'),
    ];
    const LARGE: [(char, char); 20] = [
        ('P', '∑'),
        ('Q', '∏'),
        ('R', '∫'),
        ('S', '⋃'),
        ('T', '⋂'),
        ('X', '∑'),
        ('Y', '∏'),
        ('Z', '∫'),
        ('p', '√'),
        ('q', '√'),
        ('r', '√'),
        ('s', '√'),
        ('h', '['),
        ('i', ']'),
        ('n', '{'),
        ('o', '}'),
        ('"', '['),
        ('#', ']'),
        ('!', ')'),
        (' ', '('),
    ];
    let lower = font.to_lowercase();
    let base = lower.split_once('+').map_or(lower.as_str(), |(_, base)| base);
    let signs = match base {
        _ if base.starts_with("cmsy") || base.starts_with("cmbsy") => &SYMBOLS[..],
        _ if base.starts_with("cmex") => &LARGE[..],
        _ => return None,
    };
    signs.iter().find(|(code, _)| *code == ch).map(|(_, sign)| *sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_by_name() {
        for (name, face) in [
            ("ABCDEF+CMMI10", Face::Math),
            ("XYZABC+CambriaMath", Face::Math),
            ("CMTT10", Face::Mono),
            ("NimbusMonL-Regu", Face::Mono),
            ("CourierNew,Italic", Face::Mono),
            ("Times-Italic", Face::Italic),
            ("NimbusRomNo9L-ReguItal", Face::Italic),
            ("CMR10", Face::Plain),
            ("Monotype-Garamond", Face::Plain),
        ] {
            assert_eq!(Face::of(name), face, "{name}");
        }
    }

    #[test]
    fn codes_of_symbol_fonts_become_signs() {
        assert_eq!(tex_sign("ABCDEF+CMEX10", 'X'), Some('∑'));
        assert_eq!(tex_sign("CMSY7", 'k'), Some('‖'));
        assert_eq!(tex_sign("CMSY10", 'L'), None, "a calligraphic letter");
        assert_eq!(tex_sign("CMR10", 'X'), None);
    }
}
