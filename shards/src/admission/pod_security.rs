//! PodSecurity: the labels of a Namespace say what its Pods may ask for. Pods are refused, workloads are warned of Pods that
//! they will not get, and who changes the labels is warned of Pods that are there.

use api::document::Document;
use api::pod_security::{self, Configuration, Level, Policy, evaluate};
use api::selector::Selectable;
use api::{Status, Value};

use super::{Attributes, Operation};

/// What changes nothing that matters.
const IGNORED: [&str; 8] = ["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"];

pub(super) fn validate(attributes: &mut Attributes<'_, '_, '_>, document: &Value) -> Result<(), Status> {
    let call = attributes.call;
    let part = &*call.request.subresource;
    if call.is("pods") {
        return if IGNORED.contains(&part) { Ok(()) } else { pod(attributes, document) };
    }
    if part.is_empty() && call.is("namespaces") {
        return namespace(attributes, document);
    }
    if part.is_empty()
        && let Some(template) = pod_security::template(&call.resource.id_name, document)
    {
        workload(attributes, template);
    }
    Ok(())
}

fn configuration<'a>(attributes: &Attributes<'a, '_, '_>) -> &'a Configuration {
    &attributes.call.shard.options.pod_security
}

/// What holds where the object lives; `None`: nobody looks.
fn policy(attributes: &mut Attributes<'_, '_, '_>) -> Option<Policy> {
    let (call, configuration) = (attributes.call, configuration(attributes));
    let name = &call.request.namespace;
    if configuration.exemptions.namespace(name) || configuration.exemptions.user(&call.request.user.name) {
        return None;
    }
    let namespace = attributes.view.read(call.other_table("namespaces")?, &(Default::default(), name.clone()))?;
    let (policy, _) = Policy::of(|key| namespace.label(key), &configuration.defaults);
    Some(policy).filter(|policy| !policy.is_privileged())
}

fn pod(attributes: &mut Attributes<'_, '_, '_>, pod: &Value) -> Result<(), Status> {
    let Some(policy) = policy(attributes) else { return Ok(()) };
    if attributes.old.is_some_and(|old| !pod_security::is_significant(pod, old))
        || configuration(attributes).exemptions.runtime_class_of(pod)
    {
        return Ok(());
    }
    let findings = evaluate(policy.enforce, pod);
    if !findings.is_empty() {
        return Err(attributes.call.forbidden(&format!("violates PodSecurity \"{}\": {findings}", policy.enforce)));
    }
    warn(attributes, &policy, pod);
    Ok(())
}

fn workload(attributes: &mut Attributes<'_, '_, '_>, template: &Value) {
    if let Some(policy) = policy(attributes)
        && !configuration(attributes).exemptions.runtime_class_of(template)
    {
        warn(attributes, &policy, template);
    }
}

fn warn(attributes: &mut Attributes<'_, '_, '_>, policy: &Policy, pod: &Value) {
    let findings = evaluate(policy.warn, pod);
    if !findings.is_empty() {
        let warning = format!("would violate PodSecurity \"{}\": {findings}", policy.warn);
        attributes.view.warnings.push(warning);
    }
}

fn namespace(attributes: &mut Attributes<'_, '_, '_>, namespace: &Value) -> Result<(), Status> {
    let (call, configuration) = (attributes.call, configuration(attributes));
    let (policy, wrong) = Policy::of_document(namespace, &configuration.defaults);
    let Some(old) = attributes.old.filter(|_| attributes.operation == Operation::Update) else {
        call.invalid_unless_empty(wrong)?;
        if configuration.exemptions.namespace(namespace.name()) {
            attributes.view.warnings.extend(pod_security::exempt_namespace(namespace, &policy, configuration));
        }
        return Ok(());
    };
    let (before, was_wrong) = Policy::of_document(old, &configuration.defaults);
    // What was wrong before may stay.
    if wrong != was_wrong {
        call.invalid_unless_empty(wrong)?;
    }
    let (now, before) = (policy.enforce, before.enforce);
    if now == before || now.level == Level::Privileged || (now.version == before.version && now.level <= before.level) {
        return Ok(());
    }
    if configuration.exemptions.namespace(namespace.name()) {
        attributes.view.warnings.extend(pod_security::exempt_namespace(namespace, &policy, configuration));
        return Ok(());
    }
    if let Some(table) = call.other_table("pods") {
        let pods = attributes.view.read_all(table, namespace.name());
        attributes.view.warnings.extend(pod_security::existing(&pods, namespace.name(), now, configuration));
    }
    Ok(())
}
