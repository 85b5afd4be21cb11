"""Running heads, page numbers and arXiv stamps that are left in the body, found by looking at the pages' margins."""
import collections, csv, json, re
import extractors

PAPERS = 20


def measure(args):
    print(f"## Running heads, page numbers and stamps left in the body of {PAPERS} papers\n")
    left = 0
    for name in sample(args):
        pdf = args.shared / "papers" / name
        document = json.loads(extractors.ronbun(args, pdf, "--format", "json"))
        prose = [block for block in document["blocks"] if block["part"] == "body" and block["kind"] in ("heading", "paragraph", "list_item")]
        heights = {page["number"]: page["height"] for page in document["pages"]}
        found = [block["text"] for block in prose if is_stamp(block["text"])]
        found += [block["text"] for block in prose if is_number(block["text"]) and stands_in_margin(block, heights)]
        outer = [mask(block["text"]) for block in prose if reaches_margin(block, heights)]
        for head in repeated_margins(pdf):
            found += [head for text in outer if head in text and (len(text) < 3 * len(head) or len(head) > 25 and not text.startswith(head))]
        left += len(found)
        print(f"{name:32} {len(found)} left   {'; '.join(text[:60] for text in found[:4])}")
    print(f"\nbar: none: {'reached' if left == 0 else 'NOT reached'}\n")
    return left == 0


def sample(args):
    rows = list(csv.DictReader((args.shared / "papers/INDEX.tsv").open(encoding="utf-8"), delimiter="\t"))
    good = [row["file"] for row in rows if row["expect"] == "good" and int(row["pages"]) >= 4]
    step = len(good) / PAPERS
    return [good[int(index * step)] for index in range(PAPERS)]


def is_stamp(text):
    return re.match(r"arXiv:\d{4}\.\d{4,5}(v\d+)?\s*\[", text) is not None


def is_number(text):
    return re.fullmatch(r"\W*\d{1,4}\W*", text) is not None


def stands_in_margin(block, heights):
    span = block["spans"][0]
    height = heights[span["page"]]
    return span["bbox"][3] < height / 12 or span["bbox"][1] > height * 11 / 12


def reaches_margin(block, heights):
    """A head that was left stands where it was printed; a title or a sentence with the same words does not."""
    return any(span["bbox"][1] < heights[span["page"]] / 12 or span["bbox"][3] > heights[span["page"]] * 11 / 12 for span in block["spans"])


def mask(text):
    return re.sub(r"\d+", "#", re.sub(r"\s+", "", text)).lower()


def repeated_margins(pdf):
    """Lines in the top and bottom twelfth of at least three pages and a third of all, digits masked."""
    import pymupdf

    seen = collections.Counter()
    with pymupdf.open(pdf) as document:
        for page in document:
            height = page.rect.height
            lines = [line for block in page.get_text("dict")["blocks"] for line in block.get("lines", [])]
            texts = {mask("".join(span["text"] for span in line["spans"])) for line in lines if line["bbox"][3] < height / 12 or line["bbox"][1] > height * 11 / 12}
            seen.update(text for text in texts if len(text) >= 8)
        pages = len(document)
    return [text for text, count in seen.items() if count >= max(3, pages / 3)]
