//! Counts the faces of a photo, by `rustface` and its model of frontal faces.

use rustface::{ImageData, create_detector_with_model, read_model};

use super::GreyCopy;

/// From the package of `rustface` 0.1.7; licence in `models/LICENSE`.
const MODEL: &[u8] = include_bytes!("../../models/seeta_fd_frontal_v1.0.bin");
/// Faces score 18 to 34; what is taken for a face by mistake, and a blurred face, scored 2 to 3.
const SURE_FROM: f64 = 5.0;
/// The detector's window, in pixels: the smallest face that it sees, and the smallest photo that it can take.
const WINDOW: usize = 40;
/// A face that is smaller than the largest divided by this belongs to a passer-by, from whom no trainer learns.
const PASSER_BY: u32 = 3;

/// How many faces look at the camera; 0 also for a photo that is too small to tell.
pub(super) fn count(copy: &GreyCopy) -> u8 {
    if copy.width.min(copy.height) < WINDOW {
        return 0;
    }
    let (Ok(width), Ok(height)) = (u32::try_from(copy.width), u32::try_from(copy.height)) else {
        return 0;
    };
    let Ok(model) = read_model(MODEL) else {
        return 0;
    };
    let mut detector = create_detector_with_model(model);
    detector.set_score_thresh(SURE_FROM);
    let faces = detector.detect(&ImageData::new(&copy.samples, width, height));
    let largest = faces
        .iter()
        .map(|face| face.bbox().width())
        .max()
        .unwrap_or_default();
    let counted = faces
        .iter()
        .filter(|face| face.bbox().width() * PASSER_BY >= largest);
    u8::try_from(counted.count()).unwrap_or(u8::MAX)
}
