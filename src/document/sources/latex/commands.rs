//! What commands of LaTeX and its packages ask for.

use super::reader::Reader;
use super::symbols;
use super::token::{Token, written};
use super::{counters, environments, kinds};
use crate::document::BlockKind;
use crate::document::sources::inline::Inline;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Commands by the arguments that are no text: a star, `o`ptional, `p`arenthesised, `m`andatory ones, a bare `d`imension.
/// What follows is read on as text.
const DROPPED: &str = "
vspace:sm hspace:sm vskip:d hskip:d kern:d penalty:d looseness:d baselineskip:d parskip:d parindent:d tabcolsep:d
textwidth:d textheight:d hsize:d vsize:d topmargin:d oddsidemargin:d evensidemargin:d baselinestretch:d advance:d
includegraphics:soom epsfig:m psfig:m includesvg:om includepdf:om graphicspath:m setlength:mm addtolength:mm
settowidth:mm pagestyle:m thispagestyle:m pagenumbering:m hypersetup:m geometry:m definecolor:mmm colorlet:mm color:om
textcolor:om colorbox:om fcolorbox:omm rowcolor:om cellcolor:om columncolor:om rowcolors:smmm arrayrulecolor:m pagecolor:m
cline:m cmidrule:opm toprule:o midrule:o bottomrule:o specialrule:mmm addlinespace:o hhline:m rule:omm resizebox:smm
scalebox:mo rotatebox:om raisebox:moo parbox:ooom makebox:oo framebox:oo adjustbox:m adjincludegraphics:om fontsize:mm
fontfamily:m fontseries:m fontshape:m fontencoding:m usefont:mmmm setstretch:m linespread:m captionsetup:om
theoremstyle:m newcolumntype:mom newlength:m newsavebox:m savebox:moo usebox:m usetikzlibrary:m usepgfplotslibrary:m
tikzset:m pgfplotsset:m lstset:m lstdefinestyle:mm lstdefinelanguage:omom newfloat:mmm floatname:mm floatstyle:m
restylefloat:m DeclareGraphicsExtensions:m DeclareUnicodeCharacter:mm DeclareMathSymbol:mmmm DeclareMathAlphabet:mmmmm
SetMathAlphabet:mmmmmm DeclareSymbolFont:mmmmm DeclareCaptionType:om hyphenation:m bibpunct:ommmmmm
ExecuteBibliographyOptions:om addcontentsline:mmm addtocontents:mm index:om markboth:mm markright:m authorrunning:m
titlerunning:m orcidID:m orcid:m inst:m thanksref:m corref:m fnref:m icmltitlerunning:m icmlsetsymbol:mm
acmConference:ommm acmYear:m acmJournal:m acmVolume:m acmNumber:m acmArticle:m acmMonth:m acmISBN:m acmDOI:m acmPrice:m
acmSubmissionID:m setcopyright:m copyrightyear:m ccsdesc:om received:om vphantom:m hphantom:m phantom:m
footnotemark:o linebreak:o nolinebreak:o pagebreak:o nopagebreak:o bibinfo:m bibfield:m BibitemShut:m bibAnnoteFile:mm
SetKwInOut:mm SetKwInput:mm SetKw:mm SetKwFunction:mm SetKwProg:mmmm SetKwComment:mmm SetAlgoLined: DontPrintSemicolon:
multirow:omomo algrenewcommand:mm algnewcommand:mm algblock:omm setitemize:om setenumerate:om setlist:om
titleformat:smmmmm titlespacing:smmmm allowdisplaybreaks:o newglossaryentry:mm newtcolorbox:mm tcbset:m mdfsetup:m
subjclass:om dedicatory:m thispdfpagelabel:m pdfinfo:m DeclareOption:mm ProcessOptions:s LoadClass:om NeedsTeXFormat:mo
ProvidesPackage:mo sisetup:m DeclareSIUnit:mm crefname:mmm Crefname:mmm crefformat:mm Crefformat:mm
hyperref:o shortstack:o thead:o makecell:so fancyhead:om fancyfoot:om fancyhf:om cfoot:m chead:m lhead:m rhead:m lfoot:m
rfoot:m everymath:m everypar:m newcites:mm AtBeginDocument:m AtEndDocument:m textls:m titlenote:m authornote:m
authornotemark:o
";

/// Commands that change how text looks, or do nothing to it.
const SILENT: &str = "
textbf textit textrm textsf texttt textsc textsl textmd textup textnormal emph bf it em sc tt rm sf sl bfseries itshape
mdseries rmfamily sffamily ttfamily scshape slshape upshape normalfont tiny scriptsize footnotesize small normalsize large
Large LARGE huge Huge centering raggedright raggedleft centerline noindent indent bigskip medskip smallskip vfill null break
allowbreak sloppy fussy frenchspacing nonfrenchspacing flushbottom raggedbottom hrule hrulefill hbox vbox vtop strut mathstrut
ignorespaces unskip nobreak underline uline uwave sout hl mbox fbox text textsuperscript textsubscript tableofcontents
listoffigures listoftables newpage clearpage cleardoublepage FloatBarrier balance phantomsection hline Xhline urlstyle
backmatter frontmatter mainmatter boldmath unboldmath selectfont onecolumn twocolumn singlespacing doublespacing onehalfspacing
makeindex printindex protect newblock BibitemOpen bibnamefont bibfnamefont citenamefont natexlab eprint num lineno linenumbers
nolinenumbers MakeUppercase MakeLowercase uppercase lowercase footnoterule hss vss nonumber notag displaystyle textstyle
limits nolimits left right big Big bigg Bigg xrfill normalbaselines doublerulesep extrarowheight arraystretch qed qedhere
qedsymbol endgraf maketitlehookd phantomcaption IEEEpeerreviewmaketitle IEEEoverridecommandlockouts mathversion sectionmark
subsectionmark printAffiliationsAndNotice makeauthorinformation ack endfirsthead endhead endfoot endlastfoot tabularnewline
showarticletitle showeprint showDOI showURL shownote showISBN showISSN urlprefix textquotesingle DIFaddbegin DIFaddend
DIFdelbegin DIFdelend DIFadd leftmark rightmark appendixpage bibliographyhang gls Gls glspl Glspl ac Ac acp acs acl acf acrshort
";

/// Commands that the paper may not give another meaning: its structure is read by them.
const STRUCTURAL: &str = "
begin end item section subsection subsubsection paragraph subparagraph chapter part caption footnote title author maketitle
label bibitem bibliography input include document usepackage documentclass newcommand renewcommand def let and And AND thanks
par appendix abstract href url verb multicolumn tabular thebibliography printbibliography iffalse iftrue if else fi ifx
";

/// Other commands that are read here.
const OTHER: &str = "
ref eqref autoref cref Cref vref pageref nameref subref footnotetext marginpar captionof subcaption subfloat subfigure
newtheorem newcounter setcounter addtocounter stepcounter refstepcounter numberwithin counterwithin lstinline mintinline
lstinputlisting ensuremath texorpdfstring enquote xspace SI si SIrange qty keywords affiliation institute address email affil
bibliographystyle addbibresource nocite cite citet citep citeauthor citeyear bibliographystyle nolinkurl path
";

/// The arguments to drop of commands that do nothing else.
fn dropped(name: &str) -> Option<&'static str> {
    static ALL: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let silent = SILENT.split_ascii_whitespace().map(|name| (name, ""));
        silent.chain(DROPPED.split_ascii_whitespace().filter_map(|entry| entry.split_once(':'))).collect()
    });
    ALL.get(name).copied()
}

pub fn is_structural(name: &str) -> bool {
    static ALL: LazyLock<HashSet<&str>> = LazyLock::new(|| STRUCTURAL.split_ascii_whitespace().collect());
    ALL.contains(name)
}

pub fn is_known(name: &str) -> bool {
    static OTHERS: LazyLock<HashSet<&str>> = LazyLock::new(|| OTHER.split_ascii_whitespace().collect());
    is_structural(name)
        || OTHERS.contains(name)
        || dropped(name).is_some()
        || symbols::symbol(name).is_some()
        || symbols::accent(name).is_some()
}

pub fn is_environment(name: &str) -> bool {
    kinds::kind(name).is_some()
}

impl Reader<'_> {
    pub(super) fn command(&mut self, name: &str) {
        if let Some(text) = symbols::symbol(name) {
            return self.put(text);
        }
        if let Some(accent) = symbols::accent(name) {
            let letters = self.gullet.argument();
            let letters = self.plain(letters);
            return self.put(&symbols::accented(&letters, accent));
        }
        let done = self.structure(name)
            || self.section_command(name)
            || self.front_command(name)
            || self.citation_command(name)
            || self.text_command(name);
        if done {
            return;
        }
        if let Some(arguments) = dropped(name) {
            return self.skip_arguments(arguments);
        }
        if !self.algorithm_command(name) && !self.number_command(name) {
            self.unknown(name);
            self.skip_options();
        }
    }

    fn structure(&mut self, name: &str) -> bool {
        match name {
            "begin" => self.begin(),
            "end" => self.end(),
            "item" => self.item(),
            "par" => self.paragraph(),
            environments::CLOSE => self.close_frame(),
            "[" => self.display_until("]"),
            "(" => self.math_until(")"),
            "\\" | "newline" | "linebreak" | "hfill" | "hfil" | "dotfill" | "hrulefill" => {
                if name == "\\" {
                    self.gullet.star();
                    self.gullet.optional();
                }
                self.put(" ");
            }
            _ => return false,
        }
        true
    }

    fn text_command(&mut self, name: &str) -> bool {
        match name {
            "footnote" | "footnotetext" | "marginpar" => {
                self.gullet.optional();
                let note = self.inline_argument();
                if matches!(self.gullet.mouth.peek(), Some(Token::Char('.' | ',' | ';' | ':' | ')'))) {
                    self.text.take(' ');
                }
                self.aside_after(BlockKind::Footnote, note);
            }
            "url" | "nolinkurl" | "path" => {
                let url = self.gullet.mouth.raw_argument();
                let url: String = url.replace("\\_", "_").replace("\\%", "%").replace("\\#", "#").replace("\\&", "&");
                if name == "url" {
                    self.draft.link(&url);
                }
                self.put(&url.replace("\\~{}", "~").replace("\\~", "~").replace('\\', ""));
            }
            "href" => {
                self.gullet.optional();
                let url = self.gullet.mouth.raw_argument();
                self.draft.link(&url.replace('\\', ""));
            }
            "verb" => {
                self.gullet.star();
                let text = match self.gullet.mouth.raw_char() {
                    Some(delimiter) => self.gullet.mouth.raw_until(&delimiter.to_string()),
                    None => String::new(),
                };
                self.put(&text);
            }
            "lstinline" | "mintinline" => self.inline_code(name == "mintinline"),
            "lstinputlisting" | "inputminted" | "verbatiminput" => self.included_listing(name == "inputminted"),
            "ensuremath" => {
                let math = self.gullet.argument();
                let math = self.gullet.expanded(math);
                self.put(&format!("${}$", written(&math).trim()));
            }
            "texorpdfstring" => {
                let text = self.inline_argument();
                self.gullet.argument();
                self.text.append(&text);
            }
            "enquote" => {
                let text = self.inline_argument();
                self.put("“");
                self.text.append(&text);
                self.put("”");
            }
            "SI" | "qty" | "SIrange" => {
                self.gullet.optional();
                let parts = if name == "SIrange" { 3 } else { 2 };
                let parts: Vec<_> = (0..parts).map(|_| self.quantity()).collect();
                let join = if name == "SIrange" { "–" } else { " " };
                for (index, part) in parts.iter().enumerate() {
                    self.put(if index == 0 {
                        ""
                    } else if index + 1 == parts.len() {
                        " "
                    } else {
                        join
                    });
                    self.text.append(part);
                }
            }
            "xspace" => {
                if matches!(self.gullet.mouth.peek(), Some(Token::Char(c)) if c.is_alphanumeric() || c == '(') {
                    self.put(" ");
                }
            }
            "multicolumn" => {
                let columns = self.gullet.name();
                self.gullet.argument();
                self.columns = columns.parse::<usize>().unwrap_or(1).clamp(1, 100);
            }
            _ => return false,
        }
        true
    }

    /// A number or a unit; units are commands by their names.
    fn quantity(&mut self) -> Inline {
        let mut tokens = Vec::new();
        for token in self.gullet.argument() {
            match token {
                Token::Command(name) if name.starts_with(char::is_alphabetic) && !is_known(&name) => {
                    tokens.extend(name.chars().map(Token::Char).chain([Token::Space]));
                }
                token => tokens.push(token),
            }
        }
        self.inline(tokens)
    }

    /// A note to what stands in front of it.
    fn aside_after(&mut self, kind: BlockKind, note: Inline) {
        if !self.in_preamble || self.depth > 0 {
            self.after.push((kind, note));
        }
    }

    /// Counters and how they are printed.
    fn number_command(&mut self, name: &str) -> bool {
        match name {
            "newcounter" => {
                let counter = self.gullet.name();
                let outer = self.gullet.optional().map(|outer| written(&outer));
                self.counters.within(&counter, outer.as_deref());
            }
            "setcounter" | "addtocounter" => {
                let counter = self.gullet.name();
                let value = self.gullet.argument();
                if let Ok(value) = self.plain(value).parse::<i64>() {
                    let before = if name == "addtocounter" { self.counters.value(&counter) } else { 0 };
                    self.counters.set(&counter, before.saturating_add(value));
                }
            }
            "stepcounter" => {
                let counter = self.gullet.name();
                self.counters.step(&counter);
            }
            "refstepcounter" => {
                let counter = self.gullet.name();
                self.step(&counter, "");
            }
            "numberwithin" | "counterwithin" | "@addtoreset" => {
                self.gullet.star();
                let (inner, outer) = (self.gullet.name(), self.gullet.name());
                match name {
                    "@addtoreset" => self.counters.within(&outer, Some(&inner)),
                    _ => self.number_within(&inner, &outer),
                }
            }
            name if counters::printed(name, 1).is_some() => {
                let counter = self.gullet.name();
                let text = counters::printed(name, self.counters.value(&counter)).unwrap_or_default();
                self.put(&text);
            }
            _ => return false,
        }
        true
    }

    fn skip_arguments(&mut self, arguments: &str) {
        for argument in arguments.chars() {
            match argument {
                's' => drop(self.gullet.star()),
                'o' => drop(self.gullet.optional()),
                'm' => drop(self.gullet.argument()),
                'p' => self.skip_parenthesised(),
                _ => self.skip_dimension(),
            }
        }
    }

    fn skip_parenthesised(&mut self) {
        if self.gullet.mouth.peek() == Some(Token::Char('(')) {
            while !matches!(self.gullet.mouth.next(), None | Some(Token::Char(')') | Token::Par)) {}
        }
    }

    /// `=-1.5em`, `\baselineskip`, or nothing.
    fn skip_dimension(&mut self) {
        const LONGEST: usize = 16;
        let mut length = 0;
        while let Some(token) = self.gullet.mouth.peek() {
            let part = match token {
                Token::Char('=' | '-' | '+') => length == 0,
                Token::Char(c) => {
                    (length > 0 && c.is_ascii_lowercase()) || c.is_ascii_digit() || matches!(c, '.' | ',')
                }
                _ => false,
            };
            if !part || length >= LONGEST {
                break;
            }
            self.gullet.mouth.next();
            length += 1;
        }
    }

    /// Brackets between an unknown command and its argument are settings.
    fn skip_options(&mut self) {
        if self.gullet.mouth.peek() != Some(Token::Char('[')) {
            return;
        }
        let Some(options) = self.gullet.optional() else { return };
        if self.gullet.mouth.peek() != Some(Token::Open) {
            let bracketed = [vec![Token::Char('[')], options, vec![Token::Char(']')]].concat();
            self.gullet.mouth.push(bracketed);
        }
    }
}
