//! Reads the pictures from a generation's result, and checks them before they are believed.

use serde_json::Value;

use crate::domain::trainer::is_web_url;

/// What FAL made of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The pictures in FAL's order. They may be fewer or more than were asked for, or none.
    pub pictures: Vec<GeneratedPicture>,
    /// The seed by which they can be made again. `None`: FAL did not say.
    pub seed: Option<u64>,
}

/// A picture on FAL's CDN, which is a cache: copy it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedPicture {
    /// An http or https URL.
    pub url: String,
    /// Width in pixels, as FAL says it. `None`: it does not say.
    pub width: Option<u32>,
    /// Height in pixels, as FAL says it. `None`: it does not say.
    pub height: Option<u32>,
    /// Such as `image/jpeg`, as FAL says it. `None`: it does not say.
    pub content_type: Option<String>,
    /// FAL's safety checker objected; the picture itself is black. Never to be delivered.
    pub is_flagged: bool,
}

/// A successful result without a list of pictures. Holds the pointers that lead nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the result has no pictures at {0}")]
pub struct NoPictureList(pub String);

/// Where a generator's result has its output, as JSON pointers. The first one that leads somewhere counts.
#[derive(Debug, Clone)]
pub struct PicturePointers {
    /// Pointers to the list of pictures, or to the only picture.
    pub pictures: Vec<String>,
    /// Pointer to the list of the safety checker's flags. `None`: the endpoint returns none.
    pub flags: Option<String>,
    /// Pointer to the seed. `None`: the endpoint returns none.
    pub seed: Option<String>,
}

impl PicturePointers {
    pub(super) fn read(&self, result: &Value) -> Result<Generated, NoPictureList> {
        let at = |pointer: &String| result.pointer(pointer).filter(|found| !found.is_null());
        let found = self.pictures.iter().find_map(at);
        let list = match found {
            Some(Value::Array(list)) => list.as_slice(),
            Some(only @ Value::Object(_)) => std::slice::from_ref(only),
            _ => return Err(NoPictureList(self.pictures.join(", "))),
        };
        let flags = self.flags.as_ref().and_then(at);
        let pictures = list.iter().enumerate();
        Ok(Generated {
            pictures: pictures
                .filter_map(|(index, picture)| picture_of(picture, is_flagged(flags, index)))
                .collect(),
            seed: self.seed.as_ref().and_then(at).and_then(seed_of),
        })
    }
}

/// A flag that is missing from a list, or is neither true nor false, counts as set: a shorter list does not say
/// which pictures it leaves out, and a flagged picture must never be delivered. Without any list nothing was
/// checked, which is so at endpoints that have no checker.
fn is_flagged(flags: Option<&Value>, index: usize) -> bool {
    flags.is_some_and(|flags| flags.get(index).and_then(Value::as_bool).unwrap_or(true))
}

/// Endpoints return an object, older ones only its URL. `None`: it cannot be fetched.
fn picture_of(picture: &Value, is_flagged: bool) -> Option<GeneratedPicture> {
    let url = picture.as_str().or_else(|| picture["url"].as_str())?;
    let pixels = |edge: &str| u32::try_from(picture[edge].as_u64()?).ok();
    is_web_url(url).then(|| GeneratedPicture {
        url: url.to_owned(),
        width: pixels("width"),
        height: pixels("height"),
        content_type: picture["content_type"].as_str().map(str::to_owned),
        is_flagged,
    })
}

/// A seed may be above 2^53, where JavaScript has no exact numbers, so that some write it as a text.
fn seed_of(seed: &Value) -> Option<u64> {
    seed.as_u64().or_else(|| seed.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(result: &Value) -> Result<Generated, NoPictureList> {
        let pointers = PicturePointers {
            pictures: vec!["/images".into(), "/image".into()],
            flags: Some("/has_nsfw_concepts".into()),
            seed: Some("/seed".into()),
        };
        pointers.read(result)
    }

    fn flags(result: &Value) -> Vec<bool> {
        let pictures = read(result).unwrap().pictures;
        pictures.iter().map(|picture| picture.is_flagged).collect()
    }

    fn url(number: u8) -> Value {
        json!({ "url": format!("https://cdn.test/{number}.jpg") })
    }

    #[test]
    fn pictures_are_read_with_all_that_fal_says_about_them() {
        let result = json!({
            "images": [{"url": "https://cdn.test/1.jpg", "width": 768, "height": 1024, "content_type": "image/jpeg"}],
            "has_nsfw_concepts": [false], "seed": 196_619_188_014_358_660_u64, "timings": {}, "prompt": "x",
        });
        let picture = GeneratedPicture {
            url: "https://cdn.test/1.jpg".into(),
            width: Some(768),
            height: Some(1024),
            content_type: Some("image/jpeg".into()),
            is_flagged: false,
        };
        let expected = Generated {
            pictures: vec![picture],
            seed: Some(196_619_188_014_358_660),
        };
        assert_eq!(read(&result), Ok(expected));
    }

    #[test]
    fn a_seed_is_a_number_or_a_text_and_may_be_anything_else() {
        let seed = |seed: Value| read(&json!({"images": [], "seed": seed})).unwrap().seed;
        assert_eq!(seed(json!(u64::MAX)), Some(u64::MAX));
        assert_eq!(seed(json!("18446744073709551615")), Some(u64::MAX));
        for odd in [json!(null), json!(-1), json!("many"), json!(1.5), json!([7])] {
            assert_eq!(seed(odd), None);
        }
    }

    #[test]
    fn any_number_of_pictures_is_read() {
        for count in [0, 1, 9] {
            let result = json!({"images": (0..count).map(url).collect::<Vec<_>>()});
            assert_eq!(read(&result).unwrap().pictures.len(), usize::from(count));
        }
        let only = json!({"images": null, "image": url(1)});
        assert_eq!(read(&only).unwrap().pictures.len(), 1);
    }

    #[test]
    fn a_flag_is_missing_only_where_the_list_is() {
        let with = |given: Value| flags(&json!({"images": [url(1), url(2)], "has_nsfw_concepts": given}));
        assert_eq!(with(json!(null)), [false, false]);
        assert_eq!(flags(&json!({"images": [url(1)]})), [false]);
        assert_eq!(with(json!([false, true])), [false, true]);
        assert_eq!(with(json!([false])), [false, true]);
        assert_eq!(with(json!([])), [true, true]);
        assert_eq!(with(json!([false, false, true])), [false, false]);
        assert_eq!(with(json!([null, "no"])), [true, true]);
        assert_eq!(with(json!(false)), [true, true]);
    }

    #[test]
    fn what_cannot_be_fetched_is_no_picture_and_moves_no_flag() {
        let odd = json!({
            "images": [{"url": "data:image/png;base64,AA=="}, {"file": 7}, null, "https://cdn.test/4.jpg", url(5)],
            "has_nsfw_concepts": [false, false, false, true, false],
        });
        let pictures = read(&odd).unwrap().pictures;
        let told = pictures.iter().map(|picture| (&*picture.url, picture.is_flagged));
        let expected = [
            ("https://cdn.test/4.jpg", true),
            ("https://cdn.test/5.jpg", false),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_result_without_a_list_is_told_with_the_pointers() {
        let expected = Err(NoPictureList("/images, /image".into()));
        for none in [
            json!({}),
            json!({"images": "none"}),
            json!(null),
            json!({"images": 4}),
        ] {
            assert_eq!(read(&none), expected);
        }
    }
}
