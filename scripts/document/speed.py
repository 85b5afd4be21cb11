"""Pages a second and peak memory on twenty papers, each reader as a process of its own, one paper after the other."""
import os, shutil, subprocess, sys, time
import heads

READERS = {
    "PyMuPDF4LLM": "import sys, pymupdf4llm; pymupdf4llm.to_markdown(sys.argv[1], show_progress=False)",
    "pdf_oxide": "import sys, pdf_oxide; pdf_oxide.PdfDocument(sys.argv[1]).to_markdown_all()",
}
ROUNDS = 3


def measure(args):
    import pymupdf

    print("## Pages a second and peak memory, twenty papers, whole processes, best of three\n")
    papers = [args.shared / "papers" / name for name in heads.sample(args)]
    pages = 0
    for paper in papers:
        with pymupdf.open(paper) as document:
            pages += len(document)
    commands = {"ronbun": [args.ronbun, "--quiet", "extract"]}
    if shutil.which("pdftotext"):
        commands["pdftotext"] = ["pdftotext"]
    commands |= {name: [sys.executable, "-c", code] for name, code in READERS.items()}
    rates = {}
    for name, command in commands.items():
        rounds = [run(command, papers, name == "pdftotext") for _ in range(ROUNDS if name != "PyMuPDF4LLM" else 1)]
        seconds, memory = min(seconds for seconds, _ in rounds), max(memory for _, memory in rounds)
        rates[name] = pages / seconds
        print(f"{name:12} {pages / seconds:8.1f} pages/s   {seconds:6.2f} s   peak {memory / 1024:.0f} MB")
    ours, theirs = rates["ronbun"], rates.get("pdftotext", 0)
    reached = 2 * ours >= theirs and ours > rates["PyMuPDF4LLM"]
    print(f"\nronbun is at {ours / theirs if theirs else float('nan'):.2f} x pdftotext, {ours / rates['PyMuPDF4LLM']:.1f} x PyMuPDF4LLM; bar: half of pdftotext, above PyMuPDF4LLM: {'reached' if reached else 'NOT reached'}\n")
    return reached


def run(command, papers, to_stdout):
    """Seconds for all papers, and the largest peak of resident memory in KiB, of the reader and its children."""
    peak, start = 0, time.monotonic()
    for paper in papers:
        process = subprocess.Popen([*command, paper, *(["-"] if to_stdout else [])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command[0]} {paper}: exit code {process.returncode}")
        peak = max(peak, usage.ru_maxrss)
    return time.monotonic() - start, peak
