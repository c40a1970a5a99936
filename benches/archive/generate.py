"""generate.py PORTRAIT OUT COUNT: sets of photos as phones and Telegram make them, the same at each run.

12mp: 4000×3000, enlarged and given a sensor's noise, quality 92, about 2.5 MB each. 1280: 1280×1280, quality 87.
Each upright, progressive, turned by EXIF (orientation 6), and both.
"""

import sys
from pathlib import Path

import numpy
from PIL import Image, ImageOps

SETS = {
    "upright": {"orientation": 1},
    "progressive": {"orientation": 1, "progressive": True},
    "rotated": {"orientation": 6},
    "rotated-progressive": {"orientation": 6, "progressive": True},
}


def main(portrait, out, count):
    sources = sorted(Path(portrait).glob("*.jpg"))
    noise = numpy.random.default_rng(7)
    for number in range(count):
        photo = Image.open(sources[number % len(sources)]).convert("RGB")
        if number >= len(sources):
            photo = ImageOps.mirror(photo)
        save(photo, Path(out), "1280", number, quality=87)
        enlarged = photo.crop((0, 160, 1280, 1120)).resize((4000, 3000), Image.Resampling.LANCZOS)
        samples = numpy.asarray(enlarged, dtype=numpy.int16)
        samples = samples + noise.normal(0, 5, samples.shape).astype(numpy.int16)
        save(Image.fromarray(samples.clip(0, 255).astype(numpy.uint8)), Path(out), "12mp", number, quality=92)


def save(photo, out, size, number, quality):
    for kind, options in SETS.items():
        exif = Image.Exif()
        exif[0x0112] = options["orientation"]
        exif[0x010F] = "A camera"
        directory = out / f"{size}-{kind}"
        directory.mkdir(parents=True, exist_ok=True)
        photo.save(directory / f"{number:02}.jpg", quality=quality, progressive=options.get("progressive", False),
                   exif=exif)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
