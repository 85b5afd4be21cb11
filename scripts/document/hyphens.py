"""Words broken or wrongly joined at line ends, counted by a checker that is not the joiner."""
import collections, csv, re
import extractors

# At most one in this many words.
BAR = 2000
SUFFIXES = ["s", "es", "ed", "d", "ing", "ly", "er", "ers", "est", "ness", "able", "al", "ally", "ization", "izations", "ize", "izes", "ized", "izing", "ity", "ably", "'s", "less", "ful"]
PREFIXES = ["pre", "un", "re", "non", "sub", "multi", "over", "under", "inter", "hyper", "super", "auto", "self", "semi", "co", "de", "micro", "meta", "mis", "out", "trans", "tri", "bi", "uni", "counter", "cross", "back", "down", "up"]


def measure(args):
    """Over the two-column papers: tokens of the text that neither the list nor the paper knows, where the PDF's own lines
    break there."""
    print("## Words broken or wrongly joined at line ends, two-column papers\n")
    if not args.words.is_file():
        print(f"no word list at {args.words} (apt install wamerican, or --words FILE)\n")
        return False
    listed = {word.strip().lower() for word in args.words.read_text(encoding="utf-8", errors="replace").splitlines()}
    total = wrong = 0
    for name in two_column(args):
        pdf = args.shared / "papers" / name
        text = extractors.ronbun(args, pdf, "--format", "text")
        words, found = check(text, raw_lines(pdf), listed)
        total, wrong = total + words, wrong + len(found)
        print(f"{name:28} {words:6} words   {len(found)} wrong   {', '.join(found[:8])}")
    reached = total > 0 and wrong * BAR < total
    print(f"\n{wrong} of {total} words, one in {total // max(wrong, 1)}; bar: fewer than one in {BAR}: {'reached' if reached else 'NOT reached'}\n")
    return reached


def two_column(args):
    """English papers whose pages have an empty strip in the middle, by the characters' boxes."""
    import pymupdf

    for row in csv.DictReader((args.shared / "papers/INDEX.tsv").open(encoding="utf-8"), delimiter="\t"):
        if row["expect"] != "good" or row["file"].startswith(("ja_", "ko_")):
            continue
        with pymupdf.open(args.shared / "papers" / row["file"]) as document:
            pages = [is_two_column(page) for page in document]
        if sum(pages) * 2 > len(pages):
            yield row["file"]


def is_two_column(page):
    lines = [line["bbox"] for block in page.get_text("dict")["blocks"] for line in block.get("lines", [])]
    middle = (page.rect.x0 + page.rect.x1) / 2
    left = sum(box[2] < middle + 4 for box in lines)
    right = sum(box[0] > middle - 4 for box in lines)
    return len(lines) > 40 and min(left, right) > 15 and left + right > 0.8 * len(lines)


def raw_lines(pdf):
    """Pairs of what stands before and after a hyphen at a line's end, as another library reads the lines."""
    import pymupdf

    with pymupdf.open(pdf) as document:
        lines = [line.strip() for page in document for line in page.get_text("text", flags=pymupdf.TEXT_PRESERVE_LIGATURES * 0).splitlines()]
    pairs = []
    for line, following in zip(lines, lines[1:]):
        left, right = re.search(r"([A-Za-z]+)[-\u00ad\u2010]$", line), re.match(r"([A-Za-z]+)", following)
        if left and right:
            pairs.append((left.group(1).lower(), right.group(1).lower()))
    return pairs


def known(word, listed, counts):
    """In the list, plainly derived from it, or written so elsewhere in the paper where no line ends."""
    if word in listed or counts[word] > 1:
        return True
    stems = [word[: -len(suffix)] for suffix in SUFFIXES if word.endswith(suffix) and len(word) > len(suffix) + 2]
    stems += [stem + "e" for stem in stems] + [stem[:-1] for stem in stems if len(stem) > 3 and stem[-1:] == stem[-2:-1]] + [stem[:-1] + "y" for stem in stems if stem.endswith("i")]
    if any(stem in listed for stem in stems):
        return True
    return any(word.startswith(prefix) and word[len(prefix) :] in listed and len(word) > len(prefix) + 3 for prefix in PREFIXES)


def check(text, pairs, listed):
    tokens = re.findall(r"[A-Za-z]+(?:-[A-Za-z]+)*", text)
    counts = collections.Counter(token.lower() for token in tokens)
    parts = collections.Counter(part for token, count in counts.items() if "-" in token for part in neighbours(token) for _ in range(count))
    wrong = []
    for left, right in sorted(set(pairs)):
        joined, hyphened = left + right, f"{left}-{right}"
        has_joined, has_hyphened = any(joined in token for token in counts if len(token) < len(joined) + 12), parts[hyphened] > 0
        if not has_joined and not has_hyphened:
            if re.search(rf"\b{left}-?\s+{right}\b", text, re.I):
                wrong.append(f"{left}|{right}")
        elif has_joined and not has_hyphened and not known(joined, listed, collections.Counter()) and left in listed and right in listed and len(right) > 2:
            wrong.append(joined)
        elif has_hyphened and not has_joined and parts[hyphened] == 1 and joined in listed and not (left in listed and right in listed):
            wrong.append(hyphened)
    return len(tokens), wrong


def neighbours(token):
    halves = token.split("-")
    return [f"{a}-{b}" for a, b in zip(halves, halves[1:])]
