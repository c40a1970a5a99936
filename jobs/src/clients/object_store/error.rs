//! What can go wrong with the bucket, and what that means for the job that used it.

use minio::s3::{
    error::{Error as MinioError, NetworkError, S3ServerError, ValidationErr},
    minio_error_response::MinioErrorCode,
};

use crate::{clients::cause::describe, job::JobError};

/// The result of a call.
pub(super) type Result<T, E = ObjectError> = std::result::Result<T, E>;

/// The crate's.
pub(super) type MinioResult<T> = std::result::Result<T, MinioError>;

/// A call that did not do what it is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Our own configuration. Found at start-up.
    #[error("object store: {0}")]
    Settings(String),
    /// There is no such object. Permanent.
    #[error("object store: there is no {key:?}")]
    NotFound {
        /// Its name; empty when the call names none.
        key: String,
    },
    /// There is no such bucket. An operator mends it, so it is tried again.
    #[error("object store: there is no bucket {0:?}; create it or correct S3_BUCKET_AVATARS")]
    NoBucket(String),
    /// More bytes than the caller takes. Permanent.
    #[error("object store: {key:?} has more than {limit} bytes")]
    TooLarge {
        /// Its name.
        key: String,
        /// Bytes.
        limit: u64,
    },
    /// The store has, or answers with, other bytes than it was given. Transient: the object may be whole, and the
    /// answer not.
    #[error("object store: {key:?} is not what was put: {why}")]
    Altered {
        /// Its name.
        key: String,
        /// What differs.
        why: String,
    },
    /// No answer, or not all of it. Transient.
    #[error("object store, {call}: {why}")]
    Unreachable {
        /// Which call.
        call: &'static str,
        /// The cause.
        why: String,
    },
    /// The store answered that it will not. Transient: credentials and overload are both mended elsewhere.
    #[error("object store, {call}: refused with {code}: {message}")]
    Refused {
        /// Which call.
        call: &'static str,
        /// S3's word.
        code: String,
        /// What the store said.
        message: String,
    },
}

impl ObjectError {
    /// The same, where the store did not say of which object.
    pub(super) fn of_key(self, key: &str) -> Self {
        match self {
            Self::NotFound { .. } => Self::NotFound { key: key.to_owned() },
            other => other,
        }
    }

    /// Whether the connection broke, so that another call at once may succeed.
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
            // HEAD has no body to tell a key from a bucket; the client then says "resource".
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
        // The crate calls what went wrong on the wire a validation error, with the cause hidden beneath.
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
