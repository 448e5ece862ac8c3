//! Failures, with everything that a `Status` says.

use api::Status;
use api::status::{Cause, Parts, Reason};
use wire::proto::shard as proto;

use super::{Misread, required};
use crate::service::ShardError;
use proto::failure::Why;

pub(in crate::rpc) fn failure(error: ShardError) -> proto::Failure {
    let why = match error {
        ShardError::Status(it) => Why::Status(status(&it)),
        ShardError::NotOwner => Why::NotOwner(proto::NotOwner {}),
        ShardError::Unreachable(why) => Why::Unreachable(why),
        ShardError::Lost(why) => Why::Lost(why),
    };
    proto::Failure { why: Some(why) }
}

pub(in crate::rpc) fn read_failure(said: proto::Failure) -> ShardError {
    let read = required(said.why, "a failure's reason").and_then(|why| {
        Ok(match why {
            Why::Status(said) => ShardError::Status(read_status(said)?),
            Why::NotOwner(_) => ShardError::NotOwner,
            Why::Unreachable(why) => ShardError::Unreachable(why),
            Why::Lost(why) => ShardError::Lost(why),
        })
    });
    read.unwrap_or_else(ShardError::from)
}

fn status(status: &Status) -> proto::Status {
    let Parts { reason, message, group, kind, name, uid, causes, retry_after_seconds, continuation, said, warnings } =
        status.parts().clone();
    let (said_code, said_reason) = said.unwrap_or_default();
    let cause =
        |cause: Cause| proto::Cause { reason: cause.reason.to_owned(), message: cause.message, field: cause.field };
    proto::Status {
        reason: format!("{reason:?}"),
        message,
        group,
        kind,
        name,
        uid,
        causes: causes.into_iter().map(cause).collect(),
        retry_after_seconds,
        continuation,
        said_code: said_code.into(),
        said_reason,
        warnings,
    }
}

fn read_status(said: proto::Status) -> Result<Status, Misread> {
    let cause = |said: proto::Cause| Cause {
        reason: Cause::kept_reason(&said.reason),
        message: said.message,
        field: said.field,
    };
    Ok(Status::from(Parts {
        reason: required(REASONS.into_iter().find(|reason| format!("{reason:?}") == said.reason), "a status' reason")?,
        message: said.message,
        group: said.group,
        kind: said.kind,
        name: said.name,
        uid: said.uid,
        causes: said.causes.into_iter().map(cause).collect(),
        retry_after_seconds: said.retry_after_seconds,
        continuation: said.continuation,
        said: u16::try_from(said.said_code).ok().filter(|code| *code > 0).map(|code| (code, said.said_reason)),
        warnings: said.warnings,
    }))
}

const REASONS: [Reason; 17] = [
    Reason::Conflict,
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::Invalid,
    Reason::BadRequest,
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::Gone,
    Reason::Expired,
    Reason::RequestEntityTooLarge,
    Reason::UnsupportedMediaType,
    Reason::TooManyRequests,
    Reason::InternalError,
    Reason::ServiceUnavailable,
    Reason::Timeout,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_travels_whole() {
        let statuses = [
            Status::version_too_large(10, 5),
            Status::stale("apps", "deployments", "web").with_uid("u").retry_after(7),
            Status::said(418, "Teapot", "no tea").with_warnings(vec!["a".to_owned(), "b".to_owned()]),
            Status::forbidden("", "pods", "a", "why").with_cause(Cause {
                reason: "NamespaceTerminating",
                message: "m".to_owned(),
                field: "metadata.namespace".to_owned(),
            }),
        ];
        for expected in statuses {
            let ShardError::Status(found) = read_failure(failure(expected.clone().into())) else { panic!() };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn every_reason_is_known() {
        let codes = [400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503, 504];
        for code in codes {
            assert!(REASONS.iter().any(|reason| reason.code() == code), "{code}");
        }
        for reason in REASONS {
            let said = read_failure(failure(Status::new(reason, "").into()));
            assert!(matches!(said, ShardError::Status(status) if status.reason() == reason), "{reason:?}");
        }
    }

    #[test]
    fn failures_keep_their_kind() {
        assert!(matches!(read_failure(failure(ShardError::NotOwner)), ShardError::NotOwner));
        assert!(matches!(read_failure(failure(ShardError::Lost("a".into()))), ShardError::Lost(why) if why == "a"));
        let unreachable = read_failure(failure(ShardError::Unreachable("a".into())));
        assert!(matches!(unreachable, ShardError::Unreachable(why) if why == "a"));
    }
}
