//! Whose photos are whose: everybody's photos have a colour of their own in the middle, which is recognised on the pictures
//! that are made of them, although these were scaled, cropped, written on and encoded three times.

use axum::body::Bytes;

/// Side of a photo in pixels; it is small because the decoder is not what is tested here.
const SIDE: u16 = 64;
/// The part of a photo that has its person's colour, on both axes. Every shape of picture shows it.
const MIDDLE: std::ops::Range<u16> = 12..52;
/// Shades of a channel. They are this far apart, further than encoding moves a colour.
const SHADES: u16 = 8;
const APART: u16 = 32;
/// Number of faces. As many people have different ones.
const FACES: u16 = SHADES * SHADES * SHADES;
/// Side of the square in the picture whose mean is taken.
const PATCH: u32 = 9;

/// The face of the person with this Telegram id.
pub(super) fn of(id: i64) -> u16 {
    u16::try_from(id.rem_euclid(i64::from(FACES))).unwrap_or(0)
}

fn colour(face: u16) -> [u8; 3] {
    [face, face / SHADES, face / SHADES / SHADES]
        .map(|part| u8::try_from(APART / 2 + part % SHADES * APART).unwrap_or(u8::MAX))
}

/// The `nth` photo of the person with this face, as a JPEG.
pub(super) fn photo(face: u16, nth: u8) -> anyhow::Result<Bytes> {
    let colour = colour(face);
    let mut pixels = Vec::with_capacity(usize::from(SIDE) * usize::from(SIDE) * 3);
    for y in 0..SIDE {
        for x in 0..SIDE {
            if MIDDLE.contains(&x) && MIDDLE.contains(&y) {
                pixels.extend(colour);
            } else {
                let shade = u8::try_from((x * 2 + y) % 256).unwrap_or(0);
                pixels.extend([shade, shade.wrapping_add(nth * 20), nth * 25]);
            }
        }
    }
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    encoder.encode(&pixels, SIDE, SIDE, jpeg_encoder::ColorType::Rgb)?;
    Ok(file.into())
}

/// The face on a picture. `None`: it is no picture, or its middle has no colour of a face.
pub(super) fn on_picture(file: &[u8]) -> Option<u16> {
    let picture = image::load_from_memory(file).ok()?.into_rgb8();
    let (width, height) = picture.dimensions();
    // Below the words on the picture.
    let (left, top) = (width / 2, height * 3 / 5);
    let mut sums = [0_u32; 3];
    for (across, down) in (0..PATCH).flat_map(|across| (0..PATCH).map(move |down| (across, down))) {
        let pixel = picture.get_pixel_checked(left + across, top + down)?;
        for (sum, channel) in sums.iter_mut().zip(pixel.0) {
            *sum += u32::from(channel);
        }
    }
    let [red, green, blue] = sums.map(|sum| u16::try_from(sum / (PATCH * PATCH)).unwrap_or(0));
    let nearest = |channel: u16| channel / APART;
    let is_one = |channel: u16| channel % APART > APART / 8 && channel % APART < APART * 7 / 8;
    (is_one(red) && is_one(green) && is_one(blue))
        .then(|| nearest(red) + SHADES * (nearest(green) + SHADES * nearest(blue)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_recognised_on_their_photos() {
        for face in (0..FACES).step_by(7) {
            let file = photo(face, u8::try_from(face % 10).unwrap()).unwrap();
            assert_eq!(on_picture(&file), Some(face));
        }
        assert_eq!(on_picture(b"no picture"), None);
    }

    #[test]
    fn a_black_picture_shows_nobody() {
        let mut file = std::io::Cursor::new(Vec::new());
        let black = image::DynamicImage::new_rgb8(64, 64);
        black.write_to(&mut file, image::ImageFormat::Jpeg).unwrap();
        assert_eq!(on_picture(file.get_ref()), None);
    }
}
