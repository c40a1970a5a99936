"""incumbent.py PHOTOS OUT.zip: what the incumbent does with its photos (M6, M7). Prints its peak memory as JSON."""

import io
import sys
import zipfile
from pathlib import Path

from PIL import Image


def main(photos, out):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, path in enumerate(sorted(Path(photos).iterdir()), 1):
            jpeg = io.BytesIO()
            Image.open(path).convert("RGB").save(jpeg, "JPEG", quality=95)
            archive.writestr(f"photo_{number:03}.jpg", jpeg.getvalue())
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    print(f'{{"peak_kb": {peak}}}')


if __name__ == "__main__":
    main(*sys.argv[1:])
