//! Requests for one object.

use std::sync::Arc;

use api::resource::Served;
use api::slot::Slot;
use api::{Registry, Version};
use smol_str::SmolStr;
use wire::proto::shard as proto;

use super::{Misread, read_version, required, resource_id, version};
use crate::service::{
    DeleteOptions, FieldValidation, Format, PatchType, Propagation, Request, UserInfo, Verb, WriteOptions,
};
use proto::execute::Verb as Said;

/// What many requests have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::rpc) struct Context {
    cluster: SmolStr,
    resource: SmolStr,
    group: SmolStr,
    version: SmolStr,
    subresource: SmolStr,
    user: Arc<UserInfo>,
}

impl Context {
    pub(in crate::rpc) fn to_proto(&self) -> proto::Context {
        proto::Context {
            cluster: self.cluster.to_string(),
            resource: self.resource.to_string(),
            group: self.group.to_string(),
            version: self.version.to_string(),
            subresource: self.subresource.to_string(),
            user: Some(user(&self.user)),
        }
    }

    pub(in crate::rpc) fn read(said: proto::Context) -> Self {
        Self {
            cluster: said.cluster.into(),
            resource: said.resource.into(),
            group: said.group.into(),
            version: said.version.into(),
            subresource: said.subresource.into(),
            user: Arc::new(read_user(said.user.unwrap_or_default())),
        }
    }
}

/// A request in two parts. The number of its context is for the exchange to fill in.
pub(in crate::rpc) fn execute(registry: &Registry, request: Request) -> (Context, proto::Execute) {
    let row = registry.row(&request.cluster, request.resource);
    // A custom kind may have gone meanwhile; its owner knows.
    let served = row.as_ref().and_then(|resource| resource.served.get(request.served));
    let context = Context {
        cluster: request.cluster,
        resource: registry.id_name(request.resource),
        group: served.map(|served| served.group.clone()).unwrap_or_default(),
        version: served.map(|served| served.version.clone()).unwrap_or_default(),
        subresource: request.subresource,
        user: request.user,
    };
    let execute = proto::Execute {
        request_high: (request.id >> 64) as u64,
        request_low: request.id as u64,
        context: 0,
        namespace: request.namespace.into(),
        name: request.name.into(),
        verb: Some(verb(request.verb)),
    };
    (context, execute)
}

pub(in crate::rpc) fn read_execute(
    registry: &Registry,
    context: &Context,
    said: proto::Execute,
) -> Result<Request, Misread> {
    let resource = resource_id(registry, &context.resource)?;
    let row = registry.row(&context.cluster, resource);
    let is_asked = |served: &Served| served.group == context.group && served.version == context.version;
    // Behind the last one where the peer knows another definition of a custom kind: the verb answers that.
    let served = row.map_or(0, |row| row.served.iter().position(is_asked).unwrap_or(row.served.len()));
    Ok(Request {
        id: u128::from(said.request_high) << 64 | u128::from(said.request_low),
        cluster: context.cluster.clone(),
        resource,
        served,
        subresource: context.subresource.clone(),
        namespace: said.namespace.into(),
        name: said.name.into(),
        user: context.user.clone(),
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
        Verb::Patch { body, patch, options: with, uid } => {
            Said::Patch(proto::Patch { body, r#type: patch_type(patch), options: Some(options(with)), uid })
        }
        Verb::Delete { options } => Said::Delete(proto::Delete {
            dry_run: options.dry_run,
            grace_period_seconds: options.grace_period_seconds,
            propagation: propagation(options.propagation),
            uid: options.uid,
            version: version(options.version),
        }),
        Verb::Restore { tail, above } => Said::Restore(proto::Restore { tail, above: above.0 }),
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
            uid: patch.uid,
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
        Said::Restore(restore) => Verb::Restore { tail: restore.tail, above: Version(restore.above) },
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
        PatchType::Apply => proto::PatchType::Apply,
    };
    said.into()
}

fn read_patch_type(said: i32) -> Result<PatchType, Misread> {
    Ok(match required(proto::PatchType::try_from(said).ok(), "a patch's type")? {
        proto::PatchType::Json => PatchType::Json,
        proto::PatchType::Merge => PatchType::Merge,
        proto::PatchType::Strategic => PatchType::Strategic,
        proto::PatchType::Apply => PatchType::Apply,
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
        force: options.force,
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
    Ok(WriteOptions { dry_run: said.dry_run, field_manager: said.field_manager, field_validation, force: said.force })
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
