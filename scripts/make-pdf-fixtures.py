#!/usr/bin/env python3
"""Writes the small PDFs of tests/fixtures/pdf. Standard library only; the same bytes on every run.

Usage: make-pdf-fixtures.py [FOLDER]
"""
import hashlib, pathlib, struct, sys

PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
LEFT, RIGHT, TOP = 72, 318, 700


def text(x, y, string, size=10):
    escaped = string.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /F1 {size} Tf {x} {y} Td ({escaped}) Tj ET\n"


def column(x, lines, top=TOP):
    return "".join(text(x, top - 12 * row, line) for row, line in enumerate(lines))


def rc4(key, data):
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


class Encryption:
    """The standard security handler, revision 2: RC4 with 40 bits."""

    def __init__(self, user, owner, identifier, permissions=-4):
        pad = lambda password: (password.encode() + PAD)[:32]
        self.owner_entry = rc4(hashlib.md5(pad(owner)).digest()[:5], pad(user))
        self.key = hashlib.md5(pad(user) + self.owner_entry + struct.pack("<i", permissions) + identifier).digest()[:5]
        self.permissions = permissions
        self.user_entry = rc4(self.key, PAD)

    def stream(self, number, data):
        key = hashlib.md5(self.key + struct.pack("<I", number)[:3] + b"\0\0").digest()[:10]
        return rc4(key, data)

    def dictionary(self):
        return f"<< /Filter /Standard /V 1 /R 2 /P {self.permissions} /O <{self.owner_entry.hex()}> /U <{self.user_entry.hex()}> >>".encode()


def pdf(pages, links=(), password=None, permissions=-4, forms=()):
    """`pages`: content streams. `links`: URIs annotated on the first page. `forms`: content streams that are drawn with
    /X0 Do, /X1 Do, ... anywhere."""
    identifier = hashlib.md5(repr((pages, links)).encode()).digest()
    encryption = Encryption(password, "owner", identifier, permissions) if password else None
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"}
    objects[4] = b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\nstream\n\x80\nendstream"
    kids, number = [], 5
    named = "".join(f" /X{index} {number + index} 0 R" for index in range(len(forms)))
    resources = f"<< /Font << /F1 3 0 R >> /XObject << /I1 4 0 R{named} >> >>"
    for content in forms:
        head = f"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources {resources} /Length {len(content)} >>"
        objects[number] = f"{head}\nstream\n{content}\nendstream".encode("latin-1")
        number += 1
    for index, content in enumerate(pages):
        data = content.encode("latin-1")
        data = encryption.stream(number + 1, data) if encryption else data
        annotations = ""
        if index == 0 and links:
            one = "<< /Type /Annot /Subtype /Link /Rect [72 72 200 84] /A << /S /URI /URI (%s) >> >>"
            annotations = " /Annots [" + " ".join(one % link for link in links) + "]"
        kids.append(f"{number} 0 R")
        objects[number] = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {resources} /Contents {number + 1} 0 R{annotations} >>".encode()
        objects[number + 1] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(data), data)
        number += 2
    objects[2] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    trailer = f"/Root 1 0 R /ID [<{identifier.hex()}> <{identifier.hex()}>]"
    if encryption:
        objects[number] = encryption.dictionary()
        trailer += f" /Encrypt {number} 0 R"
    out, offsets = bytearray(b"%PDF-1.4\n"), {}
    for key in sorted(objects):
        offsets[key] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (key, objects[key])
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(b"%010d 00000 n \n" % offsets[key] for key in sorted(objects))
    out += f"trailer\n<< /Size {len(objects) + 1} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def two_columns():
    """Two pages: a title over both columns, running heads, page numbers, a broken word, a sentence over the page's end."""
    left = [f"Left line {row} fills the column with plain words here" for row in range(20)]
    right = [f"Right line {row} fills the column with plain words here" for row in range(20)]
    left[3] = "Left line 3 ends with a word that is bro-"
    left[4] = "ken, and line 4 goes on at https://example.org/col-"
    left[5] = "umns/paper.html where line 5 has the rest of it all"
    right[19] = "Right line 19 does not end here but goes on with the"
    pages = []
    for number in (1, 2, 3):
        head = text(72, 760, f"Journal of Fixtures, page {number}", 8)
        foot = text(300, 30, str(number), 8)
        title = text(150, 730, "A Paper in Two Columns", 18) if number == 1 else ""
        first = [f"very same sentence on page {number}."] if number > 1 else []
        pages.append(head + title + column(LEFT, first + left) + column(RIGHT, right) + foot)
    return pages


def bomb():
    """A line of text, and a form that draws another ten times, and so on: a hundred thousand million words in 6 KB."""
    forms = [f"/X{number + 1} Do\n" * 10 for number in range(11)] + [text(72, 600, "ha")]
    return pdf([PLAIN + "/X0 Do\n"], forms=forms)


def hidden():
    """A white line and one without ink, which nobody sees; a white one on black, and one without ink over a picture."""
    white = "q 1 g\n" + text(72, 660, "White words to a machine.") + "Q\n"
    no_ink = "q 3 Tr\n" + text(72, 640, "Words without ink to a machine.") + "Q\n"
    on_black = "0 g 60 610 400 20 re f q 1 g\n" + text(72, 616, "White words on black.") + "Q\n"
    layer = "q 3 Tr\n" + text(150, 400, "What the picture says.") + "Q\n"
    return pdf([PLAIN + white + no_ink + on_black + IMAGE + layer])


SCAN = "q 612 0 0 792 0 0 cm /I1 Do Q\n"
IMAGE = "q 400 0 0 400 100 200 cm /I1 Do Q\n"
PLAIN = column(72, ["One line of text.", "And a second line."])

FIXTURES = {
    "plain.pdf": lambda: pdf([PLAIN]),
    "two_columns.pdf": lambda: pdf(two_columns(), links=["https://github.com/example/fixtures", "mailto:a@example.org"]),
    "image_only.pdf": lambda: pdf([IMAGE, IMAGE]),
    "scan.pdf": lambda: pdf([SCAN]),
    "no_copying.pdf": lambda: pdf([PLAIN], password="secret", permissions=-64),
    "some_pages_empty.pdf": lambda: pdf([PLAIN, IMAGE, "", PLAIN]),
    "hidden.pdf": hidden,
    "encrypted.pdf": lambda: pdf([PLAIN], password="secret"),
    "bomb.pdf": bomb,
    "cut_short.pdf": lambda: pdf([PLAIN])[:80],
    "no_header.pdf": lambda: pdf([PLAIN]).replace(b"%PDF-1.4", b"%XXX-1.4"),
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FIXTURES.items():
        (folder / name).write_bytes(make())


main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "tests/fixtures/pdf")
