"""Gold texts set again by Typst: justified, hyphenated, with a spanning title and figure, captions and footnotes that are
not part of the text that is scored."""
import pathlib, re

FOOTNOTES = ["Measured on the machine of the second table.", "Names of libraries are set as they are registered.", "This holds for every size that was tried."]
CAPTIONS = ["A drawing over the whole width of the page.", "Another drawing, which stands between paragraphs."]


def texts(shared):
    """Paragraphs of each LaTeX source, by its name."""
    found = {}
    for folder in sorted((shared / "sets/latex_gold").iterdir()):
        found[folder.name] = latex_paragraphs(expand(folder / "main.tex"))
    return found


def expand(path):
    text = re.sub(r"(?<!\\)%.*", "", path.read_text(errors="replace"))

    def include(match):
        child = path.parent / (match.group(1) if match.group(1).endswith(".tex") else match.group(1) + ".tex")
        return expand(child) if child.exists() else " "

    return re.sub(r"\\(?:input|include)\{([^}]*)\}", include, text)


def latex_paragraphs(tex):
    """Running text of the body: no commands, floats, formulas."""
    start = max(tex.find(r"\begin{abstract}"), 0)
    ends = [at for at in (tex.find(r"\bibliography{"), tex.find(r"\begin{thebibliography}")) if at > 0]
    tex = tex[start : min(ends, default=len(tex))]
    tex = re.sub(r"\\begin\{(figure|table|tabular|lstlisting|equation|align|multline|algorithm)\*?\}.*?\\end\{\1\*?\}", "\n\n", tex, flags=re.S)
    tex = re.sub(r"\$[^$]*\$", " X ", tex)
    tex = re.sub(r"\\(cite\w*|ref|eqref|label|footnote|vspace|hspace|begin|end)\*?(\[[^\]]*\])?\{[^{}]*\}", " ", tex)
    tex = re.sub(r"\\(sub)*section\*?\{[^{}]*\}", "\n\n", tex)
    tex = re.sub(r"\\item\b", "\n\n", tex)
    tex = re.sub(r"\\[a-zA-Z]+\*?(\[[^\]]*\])?", " ", tex)
    tex = re.sub(r"[{}~\\]", " ", tex)
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", tex)]
    return [paragraph for paragraph in paragraphs if len(paragraph) > 120]


def escape(text):
    return re.sub(r"([\\#$*_`<>@\[\]=/~])", r"\\\1", text).replace("``", "“").replace("''", "”")


def typeset(paragraphs, columns, pdf):
    """Writes `pdf`: the paragraphs in so many columns."""
    import typst

    figure = '#place({}, float: true, scope: "{}", figure(rect(width: {}, height: 60pt, fill: luma(230)), caption: [{}]))'
    body = []
    for index, paragraph in enumerate(paragraphs):
        words = escape(paragraph).split(" ")
        if index % 4 == 1:
            words[len(words) // 2] += f"#footnote[{FOOTNOTES[index % len(FOOTNOTES)]}]"
        body.append(" ".join(words))
        if index % 5 == 2:
            body.append(figure.format("top", "parent", "90%", CAPTIONS[0]) if columns > 1 else figure.format("top", "column", "90%", CAPTIONS[0]))
        if index % 7 == 3:
            body.append(figure.format("bottom", "column", "60%", CAPTIONS[1]))
    head = f"""
#set page(paper: "us-letter", margin: 54pt, columns: {columns}, numbering: "1")
#set columns(gutter: 16pt)
#set text(size: {9 if columns > 1 else 10}pt, lang: "en", hyphenate: true)
#set par(justify: true, first-line-indent: 1em, spacing: 0.65em)
#place(top + center, float: true, scope: "parent", text(size: 17pt, weight: "bold")[A Text Set Again in Its Columns])
#heading(level: 1, numbering: none)[Abstract]
"""
    source = pathlib.Path(pdf).with_suffix(".typ")
    source.write_text(head + "\n\n".join(body) + "\n", encoding="utf-8")
    pathlib.Path(pdf).write_bytes(typst.compile(str(source), ignore_system_fonts=True))
