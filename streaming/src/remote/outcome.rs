//! What came of a command, as a client is told.

use bytes::Bytes;
use serde_json::json;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with 0.
    Success,
    /// It ended with another code.
    Exit(u8),
    /// It could not be run, or not to its end.
    Failed(String),
    /// A Status, as somebody else has said it.
    Said(Bytes),
}

impl Outcome {
    /// metav1.Status as JSON.
    pub fn status(&self) -> Bytes {
        let status = match self {
            Self::Said(status) => return status.clone(),
            Self::Success => json!({ "metadata": {}, "status": "Success" }),
            Self::Exit(code) => json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": format!("command terminated with non-zero exit code: exit status {code}"),
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Self::Failed(why) => json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: {why}"),
                "details": { "causes": [{ "message": why }] },
            }),
        };
        status.to_string().into()
    }

    /// The same for those who know no Status: only failures are told.
    pub fn words(&self) -> Option<Bytes> {
        match self {
            Self::Success => None,
            Self::Exit(code) => Some(format!("command terminated with non-zero exit code: exit status {code}").into()),
            Self::Failed(why) => Some(format!("Internal error occurred: {why}").into()),
            Self::Said(status) => {
                let status: serde_json::Value = serde_json::from_slice(status).unwrap_or_default();
                let failed = status["status"] != "Success";
                failed.then(|| status["message"].as_str().unwrap_or("unknown error").to_owned().into())
            }
        }
    }
}
