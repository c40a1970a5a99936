//! What a delivery says, in FAL's shape or the incumbent's (M13). Read after verification, and leniently: whatever
//! it does not clearly say, the result call does.
//!
//! | body                                                          | fact                                     |
//! |---------------------------------------------------------------|------------------------------------------|
//! | `status: OK`, `payload` an object                             | succeeded with it                        |
//! | `status: ERROR`, `payload` an error of a known shape          | failed for it                            |
//! | `payload: null`, `payload_error`, ERROR without a telling payload | look it up                           |
//! | incumbent: `status: completed`, `result` an object            | succeeded with it                        |
//! | incumbent: `status: failed` or `error`, and anything else     | look it up                               |

use serde::Deserialize;
use serde_json::Value;

use super::{Failure, wire};

/// One delivery's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// FAL's queue id.
    pub request_id: String,
    /// What happened to the request.
    pub fact: Fact,
}

/// What a delivery says of its request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The model's output.
    Succeeded(Value),
    /// No output, and why.
    Failed(Failure),
    /// Something happened; status and result tell what.
    LookItUp,
}

/// The bytes are no delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No JSON object, or without the fields that make it a delivery.
    #[error("no delivery: {0}")]
    NotADelivery(String),
    /// There is an id that FAL would not give.
    #[error("no delivery: its request_id is malformed")]
    BadRequestId,
}

/// Both shapes in one: no field means different things in them.
#[derive(Deserialize)]
struct Body {
    request_id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    payload: Option<Value>,
    #[serde(default)]
    payload_error: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    /// The incumbent's.
    #[serde(default)]
    result: Option<Value>,
}

impl Delivery {
    /// Reads a delivery's bytes.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let body: Body =
            serde_json::from_slice(body).map_err(|error| Unreadable::NotADelivery(error.to_string()))?;
        if !wire::is_request_id(&body.request_id) {
            return Err(Unreadable::BadRequestId);
        }
        let fact = body.fact();
        Ok(Self {
            request_id: body.request_id,
            fact,
        })
    }
}

impl Body {
    fn fact(&self) -> Fact {
        if self.payload_error.is_some() {
            return Fact::LookItUp;
        }
        match (self.status.as_deref(), &self.payload, &self.result) {
            (Some("OK"), Some(payload @ Value::Object(_)), _) => Fact::Succeeded(payload.clone()),
            (Some("ERROR"), Some(payload), _) => {
                let error = self.error.as_ref().and_then(Value::as_str);
                Failure::from_payload(error, payload).map_or(Fact::LookItUp, Fact::Failed)
            }
            (Some("completed"), None, Some(result @ Value::Object(_))) => Fact::Succeeded(result.clone()),
            _ => Fact::LookItUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::FailureClass, *};

    fn fact(body: &Value) -> Fact {
        Delivery::parse(body.to_string().as_bytes())
            .expect("a delivery")
            .fact
    }

    #[test]
    fn fals_ok_carries_the_models_output() {
        let output = json!({"diffusers_lora_file": {"url": "https://cdn.test/a"}});
        let body = json!({"request_id": "r", "gateway_request_id": "g", "status": "OK", "payload": output});
        assert_eq!(
            Delivery::parse(body.to_string().as_bytes()),
            Ok(Delivery {
                request_id: "r".into(),
                fact: Fact::Succeeded(output)
            })
        );
    }

    #[test]
    fn fals_error_is_a_failure_when_its_payload_tells_why() {
        let body = json!({"request_id": "r", "status": "ERROR", "error": "Invalid status code: 422",
                          "payload": {"detail": [{"loc": ["body", "images_data_url"], "msg": "field required", "type": "value_error.missing"}]}});
        let Fact::Failed(failure) = fact(&body) else {
            panic!("a failure")
        };
        assert_eq!(failure.class, FailureClass::Input);
        assert_eq!(failure.error_type.as_deref(), Some("value_error.missing"));
        let body = json!({"request_id": "r", "status": "ERROR", "error": "x", "payload": {"detail": "y", "error_type": "runner_disconnected"}});
        let Fact::Failed(failure) = fact(&body) else {
            panic!("a failure")
        };
        assert_eq!(failure.class, FailureClass::Provider);
    }

    #[test]
    fn what_a_delivery_does_not_tell_is_looked_up() {
        for body in [
            json!({"request_id": "r", "status": "OK", "payload": null, "payload_error": "not serializable"}),
            json!({"request_id": "r", "status": "OK", "payload": null}),
            json!({"request_id": "r", "status": "OK"}),
            json!({"request_id": "r", "status": "ERROR", "error": "Invalid status code: 404", "payload": null}),
            json!({"request_id": "r", "status": "ERROR", "error": "x", "payload": {"detail": "in words only"}}),
            json!({"request_id": "r", "status": "COMPLETED", "payload": {"a": 1}}),
            json!({"request_id": "r"}),
        ] {
            assert_eq!(fact(&body), Fact::LookItUp, "{body}");
        }
    }

    #[test]
    fn the_incumbents_shape_is_read_too() {
        let body =
            json!({"request_id": "test_style", "status": "completed", "result": {"finetune_id": "test123"}});
        assert_eq!(fact(&body), Fact::Succeeded(json!({"finetune_id": "test123"})));
        for status in ["failed", "error", "in_progress"] {
            assert_eq!(
                fact(&json!({"request_id": "r", "status": status, "result": {"a": 1}})),
                Fact::LookItUp
            );
        }
    }

    #[test]
    fn bytes_that_are_no_delivery_are_refused() {
        for body in ["", "{}", "[]", "null", "{\"request_id\":7}", "<html>"] {
            assert!(
                matches!(Delivery::parse(body.as_bytes()), Err(Unreadable::NotADelivery(_))),
                "{body}"
            );
        }
        for id in ["", "a b", "../x", "ф"] {
            let body = json!({"request_id": id, "status": "OK", "payload": {}});
            assert_eq!(
                Delivery::parse(body.to_string().as_bytes()),
                Err(Unreadable::BadRequestId)
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Delivery::parse(&body);
        }
    }
}
