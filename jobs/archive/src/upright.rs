//! Hands a decoded picture to the encoder row by row, in its upright orientation.
//!
//! A turned picture needs no second buffer: its rows are gathered from the places where the orientation has put them,
//! sixteen at a time. At the same time they become YCbCr, alpha is blended on white, and chroma is averaged.

use std::{cell::RefCell, ops::Range};

use image::metadata::Orientation;
use jpeg_encoder::{ImageBuffer, JpegColorType, rgb_to_ycbcr};

/// A decoded picture, rows from the top, before its orientation is applied.
pub(super) struct Pixels<'a> {
    pub samples: &'a [u8],
    pub width: usize,
    pub height: usize,
    pub layout: Layout,
}

/// The meaning of a pixel's bytes, and so their number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    YCbCr,
    Rgb,
    Rgba,
    Grey,
    GreyAlpha,
}

/// Side of the squares in which a picture is turned: two blocks, which 4:2:0 merges into one.
const TILE: usize = 16;
/// Rows of pairs of samples; see [`ChromaTile`].
type LumaTile = [[[u8; 2]; TILE / 2]; TILE];
/// One row for two of the picture, each mean stored twice: the encoder picks one,
/// which is cheaper than its own averaging.
type ChromaTile = [[[u8; 2]; TILE / 2]; TILE / 2];

/// The picture in its upright orientation, row by row, in YCbCr with chroma averaged over 2×2 pixels.
pub(super) struct Upright<'a> {
    pixels: &'a Pixels<'a>,
    pub width: usize,
    pub height: usize,
    walk: PixelWalk,
    strip: RefCell<Strip>,
}

/// The offset of the pixel in column x and row y is `origin + x·right + y·down`,
/// wrapping, so that steps may lead back.
#[derive(Clone, Copy)]
struct PixelWalk {
    origin: usize,
    right: usize,
    down: usize,
    /// Whether a step to the right is a step along a column of the source.
    sideways: bool,
}

/// The rows that were gathered last: reading a turned picture row by row would miss the cache at each pixel.
struct Strip {
    rows: Range<usize>,
    luma: Vec<u8>,
    /// Chroma is subsampled: one row covers two rows of the picture.
    blue: Vec<u8>,
    red: Vec<u8>,
}

impl<'a> Upright<'a> {
    pub fn new(pixels: &'a Pixels<'a>, orientation: Orientation) -> Self {
        let walk = PixelWalk::new(pixels.width, pixels.height, orientation);
        let (width, height) = if walk.sideways {
            (pixels.height, pixels.width)
        } else {
            (pixels.width, pixels.height)
        };
        let strip = RefCell::new(Strip {
            rows: 0..0,
            luma: vec![0; TILE * width],
            blue: vec![0; TILE / 2 * width],
            red: vec![0; TILE / 2 * width],
        });
        Self {
            pixels,
            width,
            height,
            walk,
            strip,
        }
    }

    fn gather(&self, strip: &mut Strip, row: usize) {
        let first = row / TILE * TILE;
        strip.rows = first..self.height.min(first + TILE);
        let on_white = |sample: u8, alpha: u8| {
            let (sample, alpha) = (u16::from(sample), u16::from(alpha));
            let blended = (sample * alpha + 255 * (255 - alpha) + 127) / 255;
            u8::try_from(blended).unwrap_or(u8::MAX)
        };
        match self.pixels.layout {
            Layout::YCbCr => self.gather_with(strip, |[y, cb, cr]| (y, cb, cr)),
            Layout::Rgb => self.gather_with(strip, |[r, g, b]| rgb_to_ycbcr(r, g, b)),
            Layout::Rgba => self.gather_with(strip, |[r, g, b, a]| {
                rgb_to_ycbcr(on_white(r, a), on_white(g, a), on_white(b, a))
            }),
            Layout::Grey => self.gather_with(strip, |[y]| (y, 128, 128)),
            Layout::GreyAlpha => self.gather_with(strip, |[y, a]| (on_white(y, a), 128, 128)),
        }
    }

    /// Fills the strip tile by tile, reading the source in runs as they lie in memory.
    fn gather_with<const N: usize>(&self, strip: &mut Strip, convert: impl Fn([u8; N]) -> (u8, u8, u8)) {
        let (source, _) = self.pixels.samples.as_chunks::<N>();
        for x in (0..self.width).step_by(TILE) {
            // All sixteen first: in a turned picture each run misses the cache, and so the misses overlap.
            let runs: [_; TILE] = std::array::from_fn(|line| self.run(source, x, strip.rows.start, line));
            let mut luma = LumaTile::default();
            let [mut blue, mut red] = [ChromaTile::default(); 2];
            for (pair, [near, far]) in runs.as_chunks::<2>().0.iter().enumerate() {
                let squares = near.as_chunks::<2>().0.iter().zip(far.as_chunks::<2>().0);
                for (at, (near, far)) in squares.enumerate() {
                    let square = [near[0], near[1], far[0], far[1]].map(&convert);
                    let [a, b, c, d] = square.map(|(luma, _, _)| luma);
                    let (across, down, upper, lower) = if self.walk.sideways {
                        (pair, at, [a, c], [b, d])
                    } else {
                        (at, pair, [a, b], [c, d])
                    };
                    (luma[2 * down][across], luma[2 * down + 1][across]) = (upper, lower);
                    blue[down][across] = [mean(square.map(|(_, blue, _)| blue)); 2];
                    red[down][across] = [mean(square.map(|(_, _, red)| red)); 2];
                }
            }
            let length = TILE.min(self.width - x);
            put(&mut strip.luma[x..], self.width, length, &luma);
            put(&mut strip.blue[x..], self.width, length, &blue);
            put(&mut strip.red[x..], self.width, length, &red);
        }
    }

    /// One row (or column, if the picture is turned sideways) of the tile at x and y. Where the tile reaches beyond
    /// the picture's edge, the last pixels are repeated.
    fn run<const N: usize>(&self, source: &[[u8; N]], x: usize, y: usize, line: usize) -> [[u8; N]; TILE] {
        let PixelWalk {
            origin,
            right,
            down,
            sideways,
        } = self.walk;
        let (across, along) = if sideways { (right, down) } else { (down, right) };
        let (columns, rows) = (TILE.min(self.width - x), TILE.min(self.height - y));
        let (lines, length) = if sideways {
            (columns, rows)
        } else {
            (rows, columns)
        };
        let start = origin
            .wrapping_add(x.wrapping_mul(right))
            .wrapping_add(y.wrapping_mul(down))
            .wrapping_add(line.min(lines - 1).wrapping_mul(across));
        let first = if along == 1 {
            start
        } else {
            start.wrapping_sub(TILE - 1)
        };
        match source.get(first..).and_then(|rest| rest.first_chunk()) {
            Some(run) if length == TILE && along == 1 => *run,
            Some(run) if length == TILE => {
                let mut run = *run;
                run.reverse();
                run
            }
            _ => std::array::from_fn(|at| source[start.wrapping_add(at.min(length - 1).wrapping_mul(along))]),
        }
    }
}

/// Copies the columns of a tile that lie within the picture.
fn put(plane: &mut [u8], width: usize, length: usize, tile: &[[[u8; 2]; TILE / 2]]) {
    for (row, samples) in plane.chunks_mut(width).zip(tile) {
        row[..length].copy_from_slice(&samples.as_flattened()[..length]);
    }
}

impl PixelWalk {
    fn new(width: usize, height: usize, orientation: Orientation) -> Self {
        let (left, up) = (1_usize.wrapping_neg(), width.wrapping_neg());
        let (last_column, last_row) = (width - 1, width * (height - 1));
        let (origin, right, down, sideways) = match orientation {
            Orientation::NoTransforms => (0, 1, width, false),
            Orientation::FlipHorizontal => (last_column, left, width, false),
            Orientation::Rotate180 => (last_row + last_column, left, up, false),
            Orientation::FlipVertical => (last_row, 1, up, false),
            Orientation::Rotate90FlipH => (0, width, 1, true),
            Orientation::Rotate90 => (last_row, up, 1, true),
            Orientation::Rotate270FlipH => (last_row + last_column, up, left, true),
            Orientation::Rotate270 => (last_column, width, left, true),
        };
        Self {
            origin,
            right,
            down,
            sideways,
        }
    }
}

fn mean(square: [u8; 4]) -> u8 {
    let sum: u16 = square.map(u16::from).iter().sum();
    u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX)
}

impl ImageBuffer for Upright<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        u16::try_from(self.width).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.height).unwrap_or(u16::MAX)
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let row = usize::from(y);
        let strip = &mut *self.strip.borrow_mut();
        if !strip.rows.contains(&row) {
            self.gather(strip, row);
        }
        let row = row - strip.rows.start;
        let planes = [(&strip.luma, row), (&strip.blue, row / 2), (&strip.red, row / 2)];
        for (buffer, (plane, row)) in buffers.iter_mut().zip(planes) {
            buffer.extend_from_slice(&plane[row * self.width..][..self.width]);
        }
    }
}
