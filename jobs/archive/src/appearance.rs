//! What a photo shows, measured on a small grey copy of it. The measures become hints to the photo's owner, never a
//! refusal: a soft light looks blurred, and a profile is no face to the detector.
//!
//! The thresholds come from measurements on the photos of `tests/photos` and blurred, cropped and re-encoded copies
//! of them; the tests repeat them.

use std::collections::BTreeMap;

use image::metadata::Orientation;
use jpeg_encoder::ImageBuffer;

use super::upright::{Pixels, Upright};

mod faces;
#[cfg(test)]
mod tests;

/// Longer side of the copy, in pixels. A smaller photo is not enlarged.
const SIDE: usize = 640;
/// An upper bound of the bytes that measuring takes besides the decoded photo: the model of faces and its maps of the
/// copy (11 MB measured), and the rows that are being turned.
pub(super) const MEMORY: usize = 16 << 20;
/// Sharp photos have 59 to 336, the same photos blurred by four pixels at 640 less than 3.
const BLURRED_BELOW: u16 = 15;
/// The same photo re-encoded, halved or slightly blurred differs in 0 to 6 of 256 bits; another crop of it in 52.
const ALIKE_UP_TO: u32 = 8;

/// What a photo shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appearance {
    /// How many faces are seen from the front, of those that are not much smaller than the largest.
    pub faces: u8,
    /// Variance of the Laplacian of the grey copy: how strong its finest edges are.
    pub sharpness: u16,
    /// Tells near-duplicates.
    pub fingerprint: Fingerprint,
}

impl Appearance {
    pub(super) fn of(pixels: &Pixels<'_>, orientation: Orientation) -> Self {
        let copy = GreyCopy::of(&Upright::new(pixels, orientation));
        Self {
            faces: faces::count(&copy),
            sharpness: copy.sharpness(),
            fingerprint: copy.fingerprint(),
        }
    }

    /// Whether a person would call the photo blurred.
    pub fn is_blurred(&self) -> bool {
        self.sharpness < BLURRED_BELOW
    }
}

/// A difference hash of 256 bits: whether brightness rises from one cell of a coarse grid to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// In how many bits two photos differ.
    fn distance(self, other: Self) -> u32 {
        let pairs = self.0.iter().zip(other.0);
        pairs.map(|(one, other)| (one ^ other).count_ones()).sum()
    }
}

/// Groups of two or more photos that look alike, by their places in `photos`. Photos that look like a common third
/// are in one group.
pub fn alike(photos: &[Fingerprint]) -> Vec<Vec<usize>> {
    let mut groups: Vec<usize> = (0..photos.len()).collect();
    for (place, photo) in photos.iter().enumerate() {
        for earlier in 0..place {
            if photo.distance(photos[earlier]) <= ALIKE_UP_TO {
                let (kept, joined) = (groups[earlier], groups[place]);
                groups
                    .iter_mut()
                    .filter(|group| **group == joined)
                    .for_each(|group| *group = kept);
            }
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, group) in groups.into_iter().enumerate() {
        members.entry(group).or_default().push(place);
    }
    members.into_values().filter(|group| group.len() > 1).collect()
}

/// The photo upright, in grey, with a longer side of at most [`SIDE`].
struct GreyCopy {
    samples: Vec<u8>,
    width: usize,
    height: usize,
}

impl GreyCopy {
    /// Each sample is the mean of those that fall on it.
    fn of(photo: &Upright<'_>) -> Self {
        let longer = photo.width.max(photo.height).max(SIDE);
        let fit = |side: usize| (side * SIDE / longer).max(1);
        let (width, height) = (fit(photo.width), fit(photo.height));
        let columns: Vec<usize> = (0..photo.width).map(|x| x * width / photo.width).collect();
        let mut sums = vec![(0_u32, 0_u32); width * height];
        let mut planes: [Vec<u8>; 4] = Default::default();
        for y in 0..photo.height {
            planes.iter_mut().for_each(Vec::clear);
            photo.fill_buffers(u16::try_from(y).unwrap_or(u16::MAX), &mut planes);
            let line = &mut sums[y * height / photo.height * width..][..width];
            for (column, sample) in columns.iter().zip(&planes[0]) {
                let (sum, count) = &mut line[*column];
                *sum += u32::from(*sample);
                *count += 1;
            }
        }
        let mean = |(sum, count): (u32, u32)| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX);
        Self {
            samples: sums.into_iter().map(mean).collect(),
            width,
            height,
        }
    }

    fn sharpness(&self) -> u16 {
        let (mut sum, mut squares, mut count) = (0_i64, 0_i64, 0_i64);
        for rows in self
            .samples
            .chunks_exact(self.width)
            .collect::<Vec<_>>()
            .windows(3)
        {
            let [above, row, below] = rows else { continue };
            for x in 1..self.width.saturating_sub(1) {
                let around = [above[x], below[x], row[x - 1], row[x + 1]].map(i64::from);
                let edge = around.iter().sum::<i64>() - 4 * i64::from(row[x]);
                sum += edge;
                squares += edge * edge;
                count += 1;
            }
        }
        let count = count.max(1);
        let variance = (squares * count - sum * sum) / (count * count);
        u16::try_from(variance).unwrap_or(u16::MAX)
    }

    fn fingerprint(&self) -> Fingerprint {
        let (wide, high) = (self.cells(9, 16), self.cells(16, 9));
        let across = wide
            .chunks(9)
            .flat_map(|row| row.windows(2).map(|pair| pair[0] < pair[1]));
        let down = high.iter().zip(&high[16..]).map(|(upper, lower)| upper < lower);
        let mut bits = [0; 32];
        for (place, _) in across.chain(down).enumerate().filter(|(_, rises)| *rises) {
            bits[place / 8] |= 1 << (place % 8);
        }
        Fingerprint(bits)
    }

    /// The mean brightness of each cell of a grid, times 256. A cell without a sample of its own (the photo is
    /// smaller than the grid) is dark.
    fn cells(&self, columns: usize, rows: usize) -> Vec<u64> {
        let mut cells = vec![(0_u64, 0_u64); columns * rows];
        for (y, line) in self.samples.chunks_exact(self.width).enumerate() {
            let row = &mut cells[y * rows / self.height * columns..][..columns];
            for (x, sample) in line.iter().enumerate() {
                let (sum, count) = &mut row[x * columns / self.width];
                *sum += u64::from(*sample);
                *count += 1;
            }
        }
        cells
            .into_iter()
            .map(|(sum, count)| sum * 256 / count.max(1))
            .collect()
    }
}
