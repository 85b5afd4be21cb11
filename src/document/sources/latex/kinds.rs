//! What the environments are, by their names.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Document,
    /// Its lines as they stand.
    Verbatim,
    /// Nothing of it is printed.
    Comment,
    /// A drawing made by commands.
    Drawing,
    /// One displayed formula, or one a line.
    Display {
        rows: bool,
        numbered: bool,
    },
    InlineMath,
    Subequations,
    /// With the arguments before its columns.
    Table(&'static str),
    Items,
    Numbered,
    Described,
    Figure,
    TableFloat,
    Algorithm,
    Steps,
    Bibliography,
    Abstract,
    Keywords,
    Appendices,
    Proof,
    Theorem,
    /// Text, with the arguments that are none.
    Plain(&'static str),
    /// Defined by the paper.
    Own,
}

/// What the environment `name` is, with or without a star; none for unknown ones.
pub fn kind(name: &str) -> Option<Kind> {
    let display = |rows| Kind::Display { rows, numbered: !name.ends_with('*') };
    Some(match name.trim_end_matches('*') {
        "document" => Kind::Document,
        "verbatim" | "Verbatim" | "BVerbatim" | "lstlisting" | "minted" | "alltt" | "spverbatim" | "code" => {
            Kind::Verbatim
        }
        "comment" | "filecontents" | "CCSXML" => Kind::Comment,
        "tikzpicture" | "picture" | "pspicture" | "pgfpicture" | "tikzcd" | "forest" | "axis" | "circuitikz" => {
            Kind::Drawing
        }
        "equation" | "multline" | "dmath" => display(false),
        "align" | "gather" | "eqnarray" | "flalign" | "alignat" | "IEEEeqnarray" => display(true),
        "displaymath" | "split" => Kind::Display { rows: false, numbered: false },
        "math" => Kind::InlineMath,
        "subequations" => Kind::Subequations,
        "tabular" if name.ends_with('*') => Kind::Table("mo"),
        "tabular" | "array" | "longtable" | "supertabular" | "xtabular" | "NiceTabular" => Kind::Table("o"),
        "tabularx" | "tabulary" => Kind::Table("mo"),
        "tblr" | "longtblr" => Kind::Table("o"),
        "itemize" | "compactitem" | "asparaitem" | "trivlist" | "list" | "inparaitem" => Kind::Items,
        "enumerate" | "compactenum" | "inparaenum" | "asparaenum" => Kind::Numbered,
        "description" | "compactdesc" | "labeling" => Kind::Described,
        "figure" | "wrapfigure" | "SCfigure" | "sidewaysfigure" | "floatingfigure" | "teaserfigure" | "subfigure" => {
            Kind::Figure
        }
        "table" | "wraptable" | "sidewaystable" | "SCtable" | "subtable" | "margintable" => Kind::TableFloat,
        "algorithm" | "algorithm2e" | "procedure" | "function" => Kind::Algorithm,
        "algorithmic" | "algpseudocode" | "pseudocode" => Kind::Steps,
        "thebibliography" => Kind::Bibliography,
        "abstract" | "onecolabstract" => Kind::Abstract,
        "keyword" | "keywords" | "IEEEkeywords" => Kind::Keywords,
        "appendices" | "appendix" | "subappendices" => Kind::Appendices,
        "proof" => Kind::Proof,
        "minipage" => Kind::Plain("ooom"),
        "multicols" => Kind::Plain("mo"),
        "adjustbox" | "tcolorbox" | "mdframed" | "framed" => Kind::Plain("o"),
        "spacing" | "adjustwidth" | "changemargin" => Kind::Plain("m"),
        "CJK" => Kind::Plain("mm"),
        "center" | "flushleft" | "flushright" | "quote" | "quotation" | "verse" | "small" | "footnotesize"
        | "titlepage" | "frontmatter" | "strip" | "landscape" | "sloppypar" | "threeparttable" | "IEEEbiography"
        | "acknowledgments" | "ack" | "acks" | "tablenotes" | "widetext" | "singlespace" | "doublespace"
        | "samepage" | "Large" | "large" | "scriptsize" | "tiny" | "normalsize" | "em" | "CJK*" => Kind::Plain(""),
        _ => return None,
    })
}

/// Environments that only set text in another way leave the paragraph open.
pub fn ends_paragraph(name: &str) -> bool {
    !matches!(name, "small" | "footnotesize" | "em" | "large" | "Large" | "scriptsize" | "tiny" | "normalsize")
}
