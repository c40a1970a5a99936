//! Reads the model from a training's result, and checks it before it is believed (M15).

use serde_json::Value;
use url::Url;

use crate::domain::avatar::named;

named!(
    /// The kinds of models that trainers make.
    OutputKind, "output kind", "output_kind", {
        /// A file with weights, which we copy and keep.
        Lora = "lora",
        /// An id; the model stays at FAL.
        Finetune = "finetune",
    }
);

/// A trained model, as FAL's result names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainedModel {
    /// Weights on FAL's CDN, which is a cache: copy them at once.
    Lora {
        /// An http or https URL.
        url: String,
        /// Size in bytes. `None`: FAL did not say.
        file_size: Option<u64>,
        /// The URL of the trainer's configuration file. `None`: there is none.
        config_url: Option<String>,
    },
    /// A model that stays at FAL.
    Finetune {
        /// 1 to 128 letters, digits, `-`, `_`, `.`.
        id: String,
    },
}

/// Why a successful result has no usable model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputProblem {
    /// No pointer leads to a file. Holds the pointers.
    #[error("the result has no weights file at {0}")]
    NoFile(String),
    /// There is a file, but its URL cannot be fetched.
    #[error("the result's weights file has no usable URL: {0:?}")]
    BadFileUrl(String),
    /// No pointer leads to a text. Holds the pointers.
    #[error("the result has no finetune id at {0}")]
    NoFinetuneId(String),
    /// There is an id, but no endpoint would accept it.
    #[error("the result's finetune id is malformed: {0:?}")]
    BadFinetuneId(String),
}

/// Where a trainer's result has its output, as JSON pointers. The first one that leads somewhere counts.
#[derive(Debug, Clone)]
pub enum OutputSpec {
    /// The output is weights to copy.
    Lora {
        /// Pointers to FAL's file object.
        file: Vec<String>,
        /// Pointer to the configuration's URL. `None`: the trainer writes none.
        config: Option<String>,
    },
    /// The output is a model that stays at FAL.
    Finetune {
        /// Pointers to the model's id.
        id: Vec<String>,
    },
}

const MAX_FINETUNE_ID: usize = 128;
const QUOTED: usize = 200;

impl OutputSpec {
    pub(super) const fn kind(&self) -> OutputKind {
        match self {
            Self::Lora { .. } => OutputKind::Lora,
            Self::Finetune { .. } => OutputKind::Finetune,
        }
    }

    pub(super) fn read(&self, result: &Value) -> Result<TrainedModel, OutputProblem> {
        match self {
            Self::Lora { file, config } => {
                let found = first(result, file).ok_or_else(|| OutputProblem::NoFile(file.join(", ")))?;
                let url = found["url"].as_str().unwrap_or_default();
                if !is_web_url(url) {
                    return Err(OutputProblem::BadFileUrl(url.chars().take(QUOTED).collect()));
                }
                Ok(TrainedModel::Lora {
                    url: url.to_owned(),
                    file_size: found["file_size"].as_u64(),
                    config_url: config
                        .as_ref()
                        .and_then(|pointer| result.pointer(pointer)?.as_str())
                        .filter(|url| is_web_url(url))
                        .map(str::to_owned),
                })
            }
            Self::Finetune { id } => {
                let found = first(result, id)
                    .and_then(Value::as_str)
                    .ok_or_else(|| OutputProblem::NoFinetuneId(id.join(", ")))?;
                if !is_finetune_id(found) {
                    return Err(OutputProblem::BadFinetuneId(found.chars().take(QUOTED).collect()));
                }
                Ok(TrainedModel::Finetune { id: found.to_owned() })
            }
        }
    }
}

fn first<'a>(result: &'a Value, pointers: &[String]) -> Option<&'a Value> {
    pointers
        .iter()
        .filter_map(|pointer| result.pointer(pointer))
        .find(|found| !found.is_null())
}

/// Whether it is a URL that our clients can fetch.
pub(in crate::domain) fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn is_finetune_id(text: &str) -> bool {
    (1..=MAX_FINETUNE_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lora() -> OutputSpec {
        OutputSpec::Lora {
            file: vec!["/diffusers_lora_file".into(), "/lora_file".into()],
            config: Some("/config_file/url".into()),
        }
    }

    #[test]
    fn a_lora_is_found_at_the_first_pointer_that_leads_somewhere() {
        let result = json!({"diffusers_lora_file": null, "lora_file": {"url": "https://cdn.test/a.safetensors", "file_size": 7},
                            "config_file": {"url": "https://cdn.test/config.json"}});
        assert_eq!(
            lora().read(&result),
            Ok(TrainedModel::Lora {
                url: "https://cdn.test/a.safetensors".into(),
                file_size: Some(7),
                config_url: Some("https://cdn.test/config.json".into()),
            })
        );
    }

    #[test]
    fn a_result_without_a_fetchable_file_is_no_lora() {
        assert_eq!(
            lora().read(&json!({"finetune_id": "abc"})),
            Err(OutputProblem::NoFile("/diffusers_lora_file, /lora_file".into()))
        );
        for url in [
            "",
            "pytorch_lora_weights.safetensors",
            "file:///etc/passwd",
            "data:,x",
        ] {
            let result = json!({"diffusers_lora_file": {"url": url}});
            assert_eq!(lora().read(&result), Err(OutputProblem::BadFileUrl(url.into())));
        }
    }

    #[test]
    fn a_finetune_id_must_look_like_one() {
        let spec = OutputSpec::Finetune {
            id: vec!["/finetune_id".into()],
        };
        let id = "a8f9f3a0-1111-4222-8333-444455556666";
        assert_eq!(
            spec.read(&json!({"finetune_id": id})),
            Ok(TrainedModel::Finetune { id: id.into() })
        );
        assert_eq!(
            spec.read(&json!({"finetune_id": 12})),
            Err(OutputProblem::NoFinetuneId("/finetune_id".into()))
        );
        for bad in ["", "a b", "../x", "ф-1", &"x".repeat(129)] {
            assert!(matches!(
                spec.read(&json!({"finetune_id": bad})),
                Err(OutputProblem::BadFinetuneId(_))
            ));
        }
    }
}
