//! Answers and objects.

use std::sync::Arc;

use api::Object;
use wire::proto::shard as proto;

use super::{Misread, required};
use crate::service::{Answer, Outcome};

pub(in crate::rpc) fn answer(answer: Answer) -> proto::Answer {
    use proto::answer::Outcome as Said;
    let outcome = match answer.outcome {
        Outcome::Object(it) => Said::Object(object(&it)),
        Outcome::Document(document) => Said::Document(serde_json::to_vec(&*document).expect("a value is JSON").into()),
    };
    proto::Answer { code: answer.code.into(), outcome: Some(outcome), warnings: answer.warnings }
}

pub(in crate::rpc) fn read_answer(said: proto::Answer) -> Result<Answer, Misread> {
    use proto::answer::Outcome as Said;
    let outcome = match required(said.outcome, "an answer's body")? {
        Said::Object(object) => Outcome::Object(Arc::new(read_object(object)?)),
        Said::Document(bytes) => {
            let document = serde_json::from_slice(&bytes).map_err(|error| Misread(error.to_string()))?;
            Outcome::Document(Arc::new(document))
        }
    };
    let code = required(u16::try_from(said.code).ok(), "an answer's code")?;
    Ok(Answer { code, outcome, warnings: said.warnings })
}

pub(in crate::rpc) fn object(object: &Object) -> proto::Object {
    proto::Object { index: object.index(), tail: object.stored().clone() }
}

pub(in crate::rpc) fn read_object(said: proto::Object) -> Result<Object, Misread> {
    Object::of_parts(said.index, said.tail).map_err(|error| Misread(error.to_string()))
}
