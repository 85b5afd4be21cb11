"""ronbun and its peers as functions from a PDF to its text."""
import contextlib, io, shutil, subprocess


def ronbun(args, pdf, *options):
    command = [args.ronbun, "--quiet", "extract", pdf, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def pdftotext(pdf):
    return subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout


def pymupdf4llm(pdf):
    import pymupdf4llm

    with contextlib.redirect_stdout(io.StringIO()):
        return pymupdf4llm.to_markdown(str(pdf), show_progress=False)


def pdf_oxide(pdf):
    import pdf_oxide

    document = pdf_oxide.PdfDocument(str(pdf))
    return document.to_markdown_all()


def peers():
    found = {"PyMuPDF4LLM": pymupdf4llm, "pdf_oxide": pdf_oxide}
    if shutil.which("pdftotext"):
        found["pdftotext"] = pdftotext
    else:
        print("pdftotext is not here and left out (apt install poppler-utils)")
    return found
