"""Bodies against texts that are known exactly: a paper's LaTeX, and the same words typeset again."""
import difflib, pathlib, re, subprocess, sys, tempfile
import extractors

# Recall and precision of the body's words that must be reached.
GOLD = (0.99, 0.95)
TYPESET = (0.98, 0.98)


def score(gold, got):
    """Ordered recall and precision of words of two letters or more."""
    gold, got = (re.findall(r"[a-z]{2,}", text.lower()) for text in (gold, got))
    blocks = difflib.SequenceMatcher(None, gold, got, autojunk=False).get_matching_blocks()
    matched = sum(block.size for block in blocks)
    return matched / max(len(gold), 1), matched / max(len(got), 1)


def measure(args):
    """1706.03762 against its LaTeX, by the scorer that is shared with the papers."""
    print("## Body of 1706.03762 against its LaTeX source\n")
    scorer, tex = args.shared / "tools/gold_score.py", args.shared / "sets/latex_gold/1706.03762/main.tex"
    pdf = args.shared / "papers/1706.03762.pdf"
    texts = {"ronbun": extractors.ronbun(args, pdf, "--format", "text", "--only", "body")}
    texts |= {name: peer(pdf) for name, peer in extractors.peers().items()}
    scores = {}
    for name, text in texts.items():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            line = subprocess.run([sys.executable, scorer, tex, file.name], capture_output=True, text=True, check=True).stdout
        scores[name] = tuple(float(number) for number in re.findall(r"(?:recall|precision) ([\d.]+)", line))
        print(f"{name:12} {line.strip()}")
    ours = scores.pop("ronbun")
    best = all(ours[0] + ours[1] > theirs[0] + theirs[1] for theirs in scores.values())
    reached = ours[0] >= GOLD[0] and ours[1] >= GOLD[1] and best
    print(f"\nbar: recall {GOLD[0]}, precision {GOLD[1]}, above the peers: {'reached' if reached else 'NOT reached'}\n")
    return reached


def measure_typeset(args):
    """The gold texts typeset in one, two and three columns."""
    import typeset

    print("## Texts whose order is known, typeset again\n")
    reached = True
    with tempfile.TemporaryDirectory() as folder:
        for name, paragraphs in typeset.texts(args.shared).items():
            for columns in (1, 2, 3):
                pdf = pathlib.Path(folder) / f"{name}-{columns}.pdf"
                typeset.typeset(paragraphs, columns, pdf)
                got = extractors.ronbun(args, pdf, "--format", "text", "--only", "body")
                recall, precision = score("\n\n".join(paragraphs), got)
                good = recall >= TYPESET[0] and precision >= TYPESET[1]
                reached &= good
                peers = "   ".join(
                    "{} {:.4f} {:.4f}".format(peer, *score("\n\n".join(paragraphs), extract(pdf)))
                    for peer, extract in extractors.peers().items()
                )
                print(f"{name}, {columns} columns: recall {recall:.4f} precision {precision:.4f}{'' if good else '   NOT reached'}   ({peers})")
    print(f"\nbar: {TYPESET[0]} each: {'reached' if reached else 'NOT reached'}\n")
    return reached
