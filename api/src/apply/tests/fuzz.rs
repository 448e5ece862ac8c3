//! What holds for any document of any kind. A failure names its seed.

use super::super::compare::compare;
use super::super::field_set::field_set;
use super::super::merge::merge;
use super::super::place::Place;
use super::super::set::Set;
use super::super::validate::validate;
use super::*;
use crate::codec::identity::{Dice, message};

const KINDS: [&str; 6] =
    ["pods", "deployments.apps", "services", "configmaps", "nodes", "customresourcedefinitions.apiextensions.k8s.io"];

/// Canonical documents that could be applied.
fn documents(each: impl Fn(&str, &Arc<Resource>, Value, u64)) {
    for name in KINDS {
        let resource = resource(name);
        let shape = resource.stored_shape();
        for seed in 0..60 {
            let mut document = codec::conform(shape, message(shape, &mut Dice(seed), 0)).unwrap().value;
            document.remove(&["status"]);
            document.set(&["metadata"], json!({"name": "it", "labels": {"a": "b"}}));
            if validate(Place::root(shape), &document).is_ok() {
                each(&format!("{name} seed {seed}"), &resource, document, seed);
            }
        }
    }
}

#[test]
fn applying_the_same_again_is_nothing_and_giving_up_leaves_nothing() {
    documents(|what, resource, document, _| {
        let mut story = Story { resource: resource.clone(), served: 0, live: None, seconds: 0 };
        story.apply("one", document.clone());
        let before = story.live.clone();
        story.apply("one", document.clone());
        assert_eq!(story.live, before, "{what}");
        story.apply("two", document.clone());
        story.apply("one", json!({}));
        let kept = story.live.clone().unwrap();
        let fields = |document: &Value| {
            let mut document = document.clone();
            document.remove(&["metadata", "managedFields"]);
            document
        };
        assert_eq!(fields(&kept), fields(&before.unwrap()), "the second one owns it all: {what}");
        story.apply("two", json!({}));
        assert_eq!(story.text(), "", "{what}");
        let left = story.live.clone().unwrap();
        let place = Place::root(resource.stored_shape());
        let owned = field_set(place, &document);
        let mut gone = Vec::new();
        field_set(place, &left).intersection(&owned).leaves().each(&mut |path| {
            let text = super::super::element::path_text(path);
            // Zero values that are always written come back by themselves.
            if !text.starts_with(".metadata") && !is_zero_at(resource, path) {
                gone.push(text);
            }
        });
        assert!(gone.is_empty(), "still there after everybody gave up: {gone:?}, {what}");
    });
}

/// Whether an empty document of the kind has something there.
fn is_zero_at(resource: &Resource, path: &[&super::super::Element]) -> bool {
    let zero = Value::Object(resource.stored_shape().zero().clone());
    field_set(Place::root(resource.stored_shape()), &zero).has(path)
}

#[test]
fn what_is_merged_holds_all_of_both() {
    documents(|what, resource, config, seed| {
        let shape = resource.stored_shape();
        let place = Place::root(shape);
        let live = codec::conform(shape, message(shape, &mut Dice(seed + 1000), 0)).unwrap().value;
        let merged = merge(place, &live, &config);
        let change = compare(place, &config, &merged);
        assert!(change.removed.is_empty(), "{}: {what}", change.removed.text());
        // What is always written is null where a document lacks it, and so modified.
        let modified = change.modified.intersection(&field_set(place, &config));
        assert!(modified.is_empty(), "{}: {what}", modified.text());
        let lost = compare(place, &live, &merged);
        assert!(lost.removed.is_empty(), "{}: {what}", lost.removed.text());
        assert_eq!(merge(place, &merged, &config), merged, "{what}");
        assert!(compare(place, &merged, &merged).is_same());
    });
}

#[test]
fn sets_are_as_sets_should_be() {
    let random = |seed: u64| -> Set {
        let dice = &mut Dice(seed);
        (0..dice.roll(12))
            .map(|_| {
                let step = |dice: &mut Dice| super::super::Element::Field(format!("f{}", dice.roll(4)).into());
                (0..=dice.roll(3)).map(|_| step(dice)).collect::<Vec<_>>()
            })
            .collect()
    };
    for seed in 0..500 {
        let (a, b) = (random(seed), random(seed + 7777));
        let union = a.union(&b);
        assert!(a.is_subset(&union) && b.is_subset(&union), "seed {seed}");
        assert_eq!(union.len(), a.len() + b.len() - a.intersection(&b).len(), "seed {seed}");
        assert_eq!(a.difference(&b).union(&a.intersection(&b)), a, "seed {seed}");
        assert!(a.difference(&b).is_disjoint(&b), "seed {seed}");
        assert_eq!(a.is_disjoint(&b), a.intersection(&b).is_empty(), "seed {seed}");
        assert!(a.recursive_difference(&b).is_subset(&a.difference(&b)), "seed {seed}");
        assert_eq!(Set::parse(&a.text()).unwrap(), a, "seed {seed}");
    }
}
