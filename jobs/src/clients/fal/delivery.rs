//! Reads the content of a delivery, in FAL's shape or the incumbent's (M13). It is read after verification, and
//! leniently: if it is not clear, the result call decides.
//!
//! | body                                                          | report                                   |
//! |---------------------------------------------------------------|------------------------------------------|
//! | `status: OK`, `payload` an object                             | succeeded with it                        |
//! | `status: ERROR`, `payload` an error of a known shape          | failed for it                            |
//! | `payload: null`, `payload_error`, ERROR without a telling payload | look it up                           |
//! | incumbent: `status: completed`, `result` an object            | succeeded with it                        |
//! | incumbent: `status: failed` or `error`, and anything else     | look it up                               |

use serde_json::Value;

use super::{RequestFailure, failure, lenient, wire};

/// The content of one delivery, read leniently.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The id of the request in FAL's queue.
    pub request_id: String,
    /// The end of the request, as far as the delivery tells it.
    pub report: DeliveryReport,
}

/// The end of a request, according to a delivery alone.
#[derive(Debug, Clone, PartialEq)]
pub enum DeliveryReport {
    /// It succeeded, with this output of the model.
    Succeeded(Value),
    /// It ended without output, for this reason.
    Failed(RequestFailure),
    /// Unclear: the status and result calls decide.
    LookItUp,
}

/// Why the bytes are not a delivery. The delivery is stored anyway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not a JSON object, or without the fields that make it a delivery.
    #[error("no delivery: {0}")]
    NotADelivery(String),
    /// The request id is not one that FAL would give.
    #[error("no delivery: its request_id is malformed")]
    BadRequestId,
}

impl Delivery {
    /// Reads a delivery's bytes. Only the request id must be valid.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let body = lenient::read(body)
            .map_err(|error| Unreadable::NotADelivery(failure::clipped(&error.to_string())))?;
        let Some(request_id) = body["request_id"].as_str() else {
            return Err(Unreadable::NotADelivery("it has no request_id".to_owned()));
        };
        if !wire::is_request_id(request_id) {
            return Err(Unreadable::BadRequestId);
        }
        Ok(Self {
            request_id: request_id.to_owned(),
            report: report(&body),
        })
    }
}

/// Reads both shapes at once: no field means different things in them. `result` is the incumbent's.
fn report(body: &Value) -> DeliveryReport {
    if !body["payload_error"].is_null() {
        return DeliveryReport::LookItUp;
    }
    match (body["status"].as_str(), &body["payload"], &body["result"]) {
        (Some("OK"), payload @ Value::Object(_), _) => DeliveryReport::Succeeded(payload.clone()),
        (Some("ERROR"), payload, _) => RequestFailure::from_payload(body["error"].as_str(), payload)
            .map_or(DeliveryReport::LookItUp, DeliveryReport::Failed),
        (Some("completed"), Value::Null, result @ Value::Object(_)) => {
            DeliveryReport::Succeeded(result.clone())
        }
        _ => DeliveryReport::LookItUp,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::FailureClass, *};

    fn report(body: &Value) -> DeliveryReport {
        Delivery::parse(body.to_string().as_bytes())
            .expect("a delivery")
            .report
    }

    #[test]
    fn fals_ok_carries_the_models_output() {
        let output = json!({"diffusers_lora_file": {"url": "https://cdn.test/a"}});
        let body = json!({"request_id": "r", "gateway_request_id": "g", "status": "OK", "payload": output});
        assert_eq!(
            Delivery::parse(body.to_string().as_bytes()),
            Ok(Delivery {
                request_id: "r".into(),
                report: DeliveryReport::Succeeded(output)
            })
        );
    }

    #[test]
    fn fals_error_is_a_failure_when_its_payload_tells_why() {
        let body = json!({"request_id": "r", "status": "ERROR", "error": "Invalid status code: 422",
                          "payload": {"detail": [{"loc": ["body", "images_data_url"], "msg": "field required", "type": "value_error.missing"}]}});
        let DeliveryReport::Failed(failure) = report(&body) else {
            panic!("a failure")
        };
        assert_eq!(failure.class, FailureClass::Input);
        assert_eq!(failure.error_type.as_deref(), Some("value_error.missing"));
        let body = json!({"request_id": "r", "status": "ERROR", "error": "x", "payload": {"detail": "y", "error_type": "runner_disconnected"}});
        let DeliveryReport::Failed(failure) = report(&body) else {
            panic!("a failure")
        };
        assert_eq!(failure.class, FailureClass::Provider);
    }

    #[test]
    fn an_end_that_a_delivery_does_not_tell_is_looked_up() {
        for body in [
            json!({"request_id": "r", "status": "OK", "payload": null, "payload_error": "not serializable"}),
            json!({"request_id": "r", "status": "OK", "payload": null}),
            json!({"request_id": "r", "status": "OK"}),
            json!({"request_id": "r", "status": "ERROR", "error": "Invalid status code: 404", "payload": null}),
            json!({"request_id": "r", "status": "ERROR", "error": "x", "payload": {"detail": "in words only"}}),
            json!({"request_id": "r", "status": "COMPLETED", "payload": {"a": 1}}),
            json!({"request_id": "r"}),
        ] {
            assert_eq!(report(&body), DeliveryReport::LookItUp, "{body}");
        }
    }

    #[test]
    fn the_incumbents_shape_is_read_too() {
        let body =
            json!({"request_id": "test_style", "status": "completed", "result": {"finetune_id": "test123"}});
        assert_eq!(
            report(&body),
            DeliveryReport::Succeeded(json!({"finetune_id": "test123"}))
        );
        for status in ["failed", "error", "in_progress"] {
            assert_eq!(
                report(&json!({"request_id": "r", "status": status, "result": {"a": 1}})),
                DeliveryReport::LookItUp
            );
        }
    }

    #[test]
    fn invalid_json_of_a_model_never_hides_a_deliverys_report() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for odd in [r#""a\u0000b""#, "NaN", "-Infinity", "1e400", r#""\ud800""#, &deep] {
            let body = format!(
                r#"{{"request_id":"r","status":"OK","payload":{{"odd":{odd},"file":{{"url":"https://cdn.test/a"}}}}}}"#
            );
            let read = Delivery::parse(body.as_bytes()).unwrap_or_else(|problem| panic!("{odd}: {problem}"));
            let DeliveryReport::Succeeded(output) = read.report else {
                panic!("a success")
            };
            assert_eq!(output["file"]["url"], "https://cdn.test/a", "{odd}");
            assert!(!output.to_string().contains("\\u0000"), "{odd}");
        }
        for odd in [
            json!({"status": 7}),
            json!({"status": null}),
            json!({"payload": "text", "status": "OK"}),
        ] {
            let mut body = odd.clone();
            body["request_id"] = json!("r");
            assert_eq!(report(&body), DeliveryReport::LookItUp, "{odd}");
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
