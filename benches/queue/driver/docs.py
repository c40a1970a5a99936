"""Puts a run's figures into `docs/performance.md`, between its markers."""

from pathlib import Path

from .facts import ROOT
from .plots import plot

PAGE = ROOT / "docs/performance.md"
PICTURES = ROOT / "docs/performance"


def write(section, text):
    """Replaces what stands between the markers of `section`."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    page = PAGE.read_text()
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{PAGE} has no section {section}: put its two markers back")
    PAGE.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}")


def write_run(results):
    PICTURES.mkdir(exist_ok=True)
    pictures = write_plots(results, PICTURES)
    (PICTURES / "last.json").write_text(results.to_json() + "\n")
    links = "\n".join(f"![{picture.stem}](performance/{picture.name})" for picture in pictures)
    write("queue", f"{results.to_markdown()}\n\n{links}")


def write_plots(results, directory: Path):
    written = []
    for row in results.rows:
        if picture := plot(results, row):
            path = directory / f"{row}.svg"
            path.write_text(picture)
            written.append(path)
    return written
