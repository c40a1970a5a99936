//! Errors of calls to the bucket, and what each means for the job that made the call.

use minio::s3::{
    error::{Error as MinioError, NetworkError, S3ServerError, ValidationErr},
    minio_error_response::MinioErrorCode,
};

use crate::{clients::cause::describe, job::JobError};

pub(super) type Result<T, E = ObjectError> = std::result::Result<T, E>;

/// The result of a call of the `minio` crate.
pub(super) type MinioResult<T> = std::result::Result<T, MinioError>;

/// A call to the bucket that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Our own configuration is wrong. Found at start-up.
    #[error("object store: {0}")]
    Settings(String),
    /// The object does not exist. Permanent.
    #[error("object store: there is no {key:?}")]
    NotFound {
        /// The object's name; empty if the call names none.
        key: String,
    },
    /// The bucket does not exist. Retried, since an operator can create it.
    #[error("object store: there is no bucket {0:?}; create it or correct S3_BUCKET_AVATARS")]
    NoBucket(String),
    /// The object has more bytes than the caller accepts. Permanent.
    #[error("object store: {key:?} has more than {limit} bytes")]
    TooLarge {
        /// The object's name.
        key: String,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// The store has, or returned, other bytes than were written. Transient: the object may
    /// be intact, and only the answer spoiled.
    #[error("object store: {key:?} is not what was put: {why}")]
    Altered {
        /// The object's name.
        key: String,
        /// How the bytes differ: length or hash.
        why: String,
    },
    /// No answer came, or only a part of it. Transient.
    #[error("object store, {call}: {why}")]
    Unreachable {
        /// The call that got no answer.
        call: &'static str,
        /// The cause, without credentials.
        why: String,
    },
    /// The store refused the call. Transient: wrong credentials and overload are both repaired elsewhere.
    #[error("object store, {call}: refused with {code}: {message}")]
    Refused {
        /// The call that was refused.
        call: &'static str,
        /// S3's word for the refusal, e.g. `AccessDenied`.
        code: String,
        /// The store's explanation.
        message: String,
    },
}

impl ObjectError {
    /// Adds the object's name, if the store did not give it.
    pub(super) fn of_key(self, key: &str) -> Self {
        match self {
            Self::NotFound { .. } => Self::NotFound { key: key.to_owned() },
            other => other,
        }
    }

    /// Whether the connection broke, so that an immediate second call may succeed.
    pub(super) const fn is_cut_off(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl From<ObjectError> for JobError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound { .. } => Self::give_up("object_missing", error),
            ObjectError::TooLarge { .. } => Self::give_up("object_too_large", error),
            ObjectError::Settings(_)
            | ObjectError::NoBucket(_)
            | ObjectError::Altered { .. }
            | ObjectError::Unreachable { .. }
            | ObjectError::Refused { .. } => Self::retry(error),
        }
    }
}

pub(super) fn of_minio(call: &'static str, bucket: &str, error: &MinioError) -> ObjectError {
    match error {
        MinioError::S3Server(S3ServerError::S3Error(answer)) => match answer.code() {
            // HEAD has no body that tells a missing key from a missing bucket; the crate then says "resource".
            MinioErrorCode::NoSuchKey | MinioErrorCode::ResourceNotFound => {
                ObjectError::NotFound { key: String::new() }
            }
            MinioErrorCode::NoSuchBucket => ObjectError::NoBucket(bucket.to_owned()),
            code => ObjectError::Refused {
                call,
                code: code.to_string(),
                message: answer.message().clone().unwrap_or_default(),
            },
        },
        MinioError::S3Server(
            S3ServerError::HttpError(status, _)
            | S3ServerError::InvalidServerResponse {
                http_status_code: status,
                ..
            },
        )
        | MinioError::Network(NetworkError::ServerError(status)) => ObjectError::Refused {
            call,
            code: status.to_string(),
            message: error.to_string(),
        },
        // The crate reports failures on the wire as validation errors, with the cause inside.
        MinioError::Network(NetworkError::ReqwestError(cause))
        | MinioError::Validation(ValidationErr::HttpError(cause)) => ObjectError::Unreachable {
            call,
            why: describe(cause),
        },
        other => ObjectError::Refused {
            call,
            code: "client".to_owned(),
            message: describe(other),
        },
    }
}
