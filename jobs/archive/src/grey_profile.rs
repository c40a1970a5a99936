//! Converts grey samples to sRGB by their ICC profile.
//!
//! A grey picture is stored as three components, which a profile for grey cannot describe. So the profile is
//! applied instead of carried over: without that, a black-and-white photo with Photoshop's "Dot Gain 20%"
//! would be up to a twelfth too dark. Such a profile is one curve, from a sample to its lightness; other
//! kinds (tables for printing) are ignored.
//!
//! Input is hostile: every index is checked, and a curve that does not lead from dark to light is refused.

/// For each sample value, its value in sRGB.
pub(super) type Tones = [u8; 256];

/// Size of the profile's header. After it come the number of tags, then each tag's name, offset and length.
const HEADER: usize = 128;
/// More tags than any real profile has.
const MOST_TAGS: usize = 100;

/// Reads the tones of a profile. `None`: it is no profile for grey, or not of a kind that we understand.
pub(super) fn tones(profile: &[u8]) -> Option<Tones> {
    if profile.get(16..20)? != b"GRAY" {
        return None;
    }
    // A profile describes a tone as luminance, or as lightness as people perceive it (Lab).
    let is_lightness = profile.get(20..24)? == b"Lab ";
    let curve = Curve::read(tag(profile, *b"kTRC")?)?;
    let mut tones = [0; 256];
    for (sample, tone) in (0..=u8::MAX).zip(&mut tones) {
        let light = curve.at(f64::from(sample) / 255.0).clamp(0.0, 1.0);
        *tone = srgb(if is_lightness { luminance(light) } else { light });
    }
    (tones[0] < tones[255]).then_some(tones)
}

/// Converts the grey samples in place. A pixel has `step` bytes, of which the first is grey.
pub(super) fn apply(tones: &Tones, samples: &mut [u8], step: usize) {
    for sample in samples.iter_mut().step_by(step) {
        *sample = tones[usize::from(*sample)];
    }
}

fn tag(profile: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let count = usize::try_from(u32_at(profile, HEADER)?).ok()?.min(MOST_TAGS);
    let entry = |number| profile.get(HEADER + 4 + 12 * number..)?.first_chunk::<12>();
    let entry = (0..count)
        .map_while(entry)
        .find(|entry| entry.starts_with(&name))?;
    let start = usize::try_from(u32_at(entry, 4)?).ok()?;
    let length = usize::try_from(u32_at(entry, 8)?).ok()?;
    profile.get(start..start.checked_add(length)?)
}

/// A function from 0..1 to 0..1.
enum Curve<'a> {
    /// Big-endian 16-bit numbers at equal distances; at least two.
    Table(&'a [[u8; 2]]),
    Parametric(Formula),
}

/// `(a·x + b)^gamma + e` from `d` on, `c·x + f` below.
#[derive(Default)]
struct Formula {
    gamma: f64,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    e: f64,
    f: f64,
}

impl<'a> Curve<'a> {
    fn read(tag: &'a [u8]) -> Option<Self> {
        match tag.get(..4)? {
            b"curv" => Self::table(tag),
            b"para" => Formula::read(tag).map(Self::Parametric),
            _ => None,
        }
    }

    fn table(tag: &'a [u8]) -> Option<Self> {
        let count = usize::try_from(u32_at(tag, 8)?).ok()?;
        let (points, _) = tag.get(12..)?.as_chunks::<2>();
        let points = points.get(..count)?;
        Some(match points {
            [] => Self::Parametric(Formula::power(1.0)),
            [gamma] => Self::Parametric(Formula::power(f64::from(u16::from_be_bytes(*gamma)) / 256.0)),
            points => Self::Table(points),
        })
    }

    fn at(&self, x: f64) -> f64 {
        match self {
            Self::Parametric(formula) => formula.at(x),
            Self::Table(points) => {
                let steps = points.len() - 1;
                let place = x * f64::from(u32::try_from(steps).unwrap_or(u32::MAX));
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and the number of points"
                )]
                let before = (place as usize).min(steps - 1);
                let height = |point: usize| f64::from(u16::from_be_bytes(points[point])) / 65535.0;
                let (low, high) = (height(before), height(before + 1));
                low + (high - low) * (place - f64::from(u32::try_from(before).unwrap_or(u32::MAX)))
            }
        }
    }
}

impl Formula {
    fn power(gamma: f64) -> Self {
        Self {
            gamma,
            a: 1.0,
            ..Self::default()
        }
    }

    fn read(tag: &[u8]) -> Option<Self> {
        let kind = u16::from_be_bytes(*tag.get(8..)?.first_chunk()?);
        let number = |at: usize| {
            let fixed = tag.get(12 + 4 * at..)?.first_chunk()?;
            Some(f64::from(i32::from_be_bytes(*fixed)) / 65536.0)
        };
        let mut formula = Self::power(number(0)?);
        if kind >= 1 {
            (formula.a, formula.b) = (number(1)?, number(2)?);
        }
        match kind {
            0 => {}
            1 | 2 => {
                if kind == 2 {
                    formula.e = number(3)?;
                    formula.f = formula.e;
                }
                formula.d = -formula.b / formula.a;
            }
            3 | 4 => {
                (formula.c, formula.d) = (number(3)?, number(4)?);
                if kind == 4 {
                    (formula.e, formula.f) = (number(5)?, number(6)?);
                }
            }
            _ => return None,
        }
        Some(formula)
    }

    fn at(&self, x: f64) -> f64 {
        let height = if x >= self.d {
            (self.a * x + self.b).max(0.0).powf(self.gamma) + self.e
        } else {
            self.c * x + self.f
        };
        if height.is_nan() { 0.0 } else { height }
    }
}

/// The luminance of a CIE lightness, both as parts of white.
fn luminance(lightness: f64) -> f64 {
    let root = (lightness * 100.0 + 16.0) / 116.0;
    if root > 6.0 / 29.0 {
        root.powi(3)
    } else {
        3.0 * (6.0_f64 / 29.0).powi(2) * (root - 4.0 / 29.0)
    }
}

/// The transfer function of sRGB (IEC 61966-2-1).
fn srgb(light: f64) -> u8 {
    let encoded = if light <= 0.003_130_8 {
        12.92 * light
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "light is between 0 and 1"
    )]
    let sample = (encoded * 255.0).round() as u8;
    sample
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests;
