//! Requests for one object.

use std::sync::Arc;

use api::resource::Registry;
use api::slot::Slot;
use bytes::Bytes;
use wire::proto::shard as proto;

use super::{Misread, read_version, required, version};
use crate::service::{
    DeleteOptions, FieldValidation, Format, PatchType, Propagation, Request, UserInfo, Verb, WriteOptions,
};
use proto::execute::Verb as Said;

pub(in crate::rpc) fn execute(registry: &Registry, request: Request) -> proto::Execute {
    let resource = registry.get(request.resource);
    let served = &resource.served[request.served];
    proto::Execute {
        request: Bytes::copy_from_slice(&request.id.to_be_bytes()),
        cluster: request.cluster.into(),
        resource: resource.id_name.to_string(),
        group: served.group.to_string(),
        version: served.version.to_string(),
        subresource: request.subresource.into(),
        namespace: request.namespace.into(),
        name: request.name.into(),
        user: Some(user(&request.user)),
        verb: Some(verb(request.verb)),
    }
}

pub(in crate::rpc) fn read_execute(registry: &Registry, said: proto::Execute) -> Result<Request, Misread> {
    let none = |what: &str| Misread(format!("there are no {} {what} here", said.resource));
    let resource = registry.named(&said.resource).ok_or_else(|| none("at all"))?;
    let served = resource.served.iter().position(|served| served.group == said.group && served.version == said.version);
    let served = served.ok_or_else(|| none(&format!("in {}/{}", said.group, said.version)))?;
    let id = required(said.request[..].try_into().ok(), "a request's id")?;
    Ok(Request {
        id: u128::from_be_bytes(id),
        cluster: said.cluster.into(),
        resource: resource.id,
        served,
        subresource: said.subresource.into(),
        namespace: said.namespace.into(),
        name: said.name.into(),
        user: Arc::new(read_user(said.user.unwrap_or_default())),
        verb: read_verb(required(said.verb, "the verb")?)?,
    })
}

fn user(user: &UserInfo) -> proto::User {
    let extra = user.extra.iter().map(|(key, values)| proto::Extra { key: key.clone(), values: values.clone() });
    proto::User { name: user.name.clone(), uid: user.uid.clone(), groups: user.groups.clone(), extra: extra.collect() }
}

fn read_user(said: proto::User) -> UserInfo {
    let extra = said.extra.into_iter().map(|extra| (extra.key, extra.values)).collect();
    UserInfo { name: said.name, uid: said.uid, groups: said.groups, extra }
}

fn verb(verb: Verb) -> Said {
    match verb {
        Verb::Get { version: at } => Said::Get(proto::Get { version: version(at) }),
        Verb::Create { body, format: is, options: with, uid } => {
            Said::Create(proto::Create { body, format: format(is), options: Some(options(with)), uid })
        }
        Verb::Update { body, format: is, options: with, uid } => {
            Said::Update(proto::Update { body, format: format(is), options: Some(options(with)), uid })
        }
        Verb::Patch { body, patch, options: with } => {
            Said::Patch(proto::Patch { body, r#type: patch_type(patch), options: Some(options(with)) })
        }
        Verb::Delete { options } => Said::Delete(proto::Delete {
            dry_run: options.dry_run,
            grace_period_seconds: options.grace_period_seconds,
            propagation: propagation(options.propagation),
            uid: options.uid,
            version: version(options.version),
        }),
    }
}

fn read_verb(said: Said) -> Result<Verb, Misread> {
    Ok(match said {
        Said::Get(get) => Verb::Get { version: read_version(get.version) },
        Said::Create(create) => Verb::Create {
            body: create.body,
            format: read_format(create.format)?,
            options: read_options(create.options)?,
            uid: create.uid,
        },
        Said::Update(update) => Verb::Update {
            body: update.body,
            format: read_format(update.format)?,
            options: read_options(update.options)?,
            uid: update.uid,
        },
        Said::Patch(patch) => Verb::Patch {
            body: patch.body,
            patch: read_patch_type(patch.r#type)?,
            options: read_options(patch.options)?,
        },
        Said::Delete(delete) => Verb::Delete {
            options: DeleteOptions {
                dry_run: delete.dry_run,
                grace_period_seconds: delete.grace_period_seconds,
                propagation: read_propagation(delete.propagation)?,
                uid: delete.uid,
                version: read_version(delete.version),
            },
        },
    })
}

fn format(format: Format) -> i32 {
    let said = match format {
        Format::Json => proto::Format::Json,
        Format::Yaml => proto::Format::Yaml,
        Format::Protobuf => proto::Format::Protobuf,
    };
    said.into()
}

fn read_format(said: i32) -> Result<Format, Misread> {
    Ok(match required(proto::Format::try_from(said).ok(), "a body's format")? {
        proto::Format::Json => Format::Json,
        proto::Format::Yaml => Format::Yaml,
        proto::Format::Protobuf => Format::Protobuf,
    })
}

fn patch_type(patch: PatchType) -> i32 {
    let said = match patch {
        PatchType::Json => proto::PatchType::Json,
        PatchType::Merge => proto::PatchType::Merge,
        PatchType::Strategic => proto::PatchType::Strategic,
    };
    said.into()
}

fn read_patch_type(said: i32) -> Result<PatchType, Misread> {
    Ok(match required(proto::PatchType::try_from(said).ok(), "a patch's type")? {
        proto::PatchType::Json => PatchType::Json,
        proto::PatchType::Merge => PatchType::Merge,
        proto::PatchType::Strategic => PatchType::Strategic,
    })
}

fn options(options: WriteOptions) -> proto::WriteOptions {
    let validation = match options.field_validation {
        FieldValidation::Ignore => proto::FieldValidation::Ignore,
        FieldValidation::Warn => proto::FieldValidation::Warn,
        FieldValidation::Strict => proto::FieldValidation::Strict,
    };
    proto::WriteOptions {
        dry_run: options.dry_run,
        field_manager: options.field_manager,
        field_validation: validation.into(),
    }
}

fn read_options(said: Option<proto::WriteOptions>) -> Result<WriteOptions, Misread> {
    let said = required(said, "what is wanted of a write")?;
    let validation = proto::FieldValidation::try_from(said.field_validation).ok();
    let field_validation = match required(validation, "fieldValidation")? {
        proto::FieldValidation::Ignore => FieldValidation::Ignore,
        proto::FieldValidation::Warn => FieldValidation::Warn,
        proto::FieldValidation::Strict => FieldValidation::Strict,
    };
    Ok(WriteOptions { dry_run: said.dry_run, field_manager: said.field_manager, field_validation })
}

fn propagation(propagation: Option<Propagation>) -> i32 {
    let said = match propagation {
        None => proto::Propagation::Default,
        Some(Propagation::Orphan) => proto::Propagation::Orphan,
        Some(Propagation::Background) => proto::Propagation::Background,
        Some(Propagation::Foreground) => proto::Propagation::Foreground,
    };
    said.into()
}

fn read_propagation(said: i32) -> Result<Option<Propagation>, Misread> {
    Ok(match required(proto::Propagation::try_from(said).ok(), "propagationPolicy")? {
        proto::Propagation::Default => None,
        proto::Propagation::Orphan => Some(Propagation::Orphan),
        proto::Propagation::Background => Some(Propagation::Background),
        proto::Propagation::Foreground => Some(Propagation::Foreground),
    })
}

/// One slot, as a list or an event names it.
pub(super) fn read_slot(said: u32) -> Result<Slot, Misread> {
    let slot = u16::try_from(said).ok().filter(|slot| *slot < api::slot::SLOTS);
    required(slot, "a slot").map(Slot)
}
