//! The search for an order against trying all of them.

use api::Version;

use super::model::Random;
use super::seeds;
use crate::check::search::{Finds, Limits, Object, Step, Steps, search};
use crate::history::Micros;

const ANY_ORDER: Limits = Limits { in_order: false, visits: 100_000 };

/// A few operations that may or may not fit together.
fn steps(random: &mut Random) -> Steps {
    let mut steps = Steps::default();
    let mut versions = 0;
    for _ in 0..2 + random.below(4) {
        let invoked = random.below(20);
        let returned = invoked + 1 + random.below(12);
        let seen = Version(1 + random.below(3));
        let finds = [Finds::Absent, Finds::Present, Finds::At(seen), Finds::NotAt(seen), Finds::Anything]
            [random.below(5) as usize];
        let leaves = match random.below(4) {
            0 | 1 => {
                versions += 1;
                Some(Object::At(Version(versions)))
            }
            2 => Some(Object::Absent),
            _ => None,
        };
        steps.certain.push(Step { invoked, returned, finds, leaves });
    }
    for _ in 0..random.below(3) {
        let finds = [Finds::Absent, Finds::Present, Finds::At(Version(1))][random.below(3) as usize];
        let leaves = if finds == Finds::Absent || random.chance(2) { Object::Hidden } else { Object::Absent };
        steps.perhaps.push(Step { invoked: random.below(20), returned: Micros::MAX, finds, leaves: Some(leaves) });
    }
    steps.certain.sort_by_key(|step| step.invoked);
    steps.perhaps.sort_by_key(|step| step.invoked);
    steps
}

/// Tries everything.
fn fits(certain: &[Step], perhaps: &[Step], object: Object) -> bool {
    let soonest = certain.iter().map(|step| step.returned).min().unwrap_or(Micros::MAX);
    let goes = |steps: &[Step], at: usize| {
        let mut rest = steps.to_vec();
        let step = rest.remove(at);
        let next = step.finds.fits(object).then(|| step.leaves.unwrap_or(object));
        next.filter(|_| step.invoked < soonest).map(|next| (rest, next))
    };
    certain.is_empty()
        || (0..certain.len()).any(|at| goes(certain, at).is_some_and(|(rest, next)| fits(&rest, perhaps, next)))
        || (0..perhaps.len()).any(|at| goes(perhaps, at).is_some_and(|(rest, next)| fits(certain, &rest, next)))
}

#[test]
fn the_search_finds_an_order_exactly_where_there_is_one() {
    let mut counts = [0; 2];
    for seed in seeds(20_000) {
        let steps = steps(&mut Random(seed));
        let wanted = fits(&steps.certain, &steps.perhaps, Object::Absent);
        let found = search(&steps, ANY_ORDER);
        assert_eq!(found.is_ok(), wanted, "SHARDPLANE_SEED={seed} {steps:?} {found:?}");
        counts[usize::from(wanted)] += 1;
    }
    if counts[0] + counts[1] > 1 {
        assert!(counts.iter().all(|count| *count > 1000), "both happen: {counts:?}");
    }
}

#[test]
fn one_object_with_many_at_once_does_not_explode() {
    // 200 writers at once, and a read that fits none of them.
    let put = |number: u64| {
        let leaves = Some(Object::At(Version(number + 1)));
        Step { invoked: number, returned: 1000 + number, finds: Finds::Anything, leaves }
    };
    let mut steps = Steps { certain: (0..200).map(put).collect(), ..Steps::default() };
    assert!(search(&steps, ANY_ORDER).is_ok());
    steps.certain.push(Step { invoked: 2000, returned: 2001, finds: Finds::Absent, leaves: None });
    let stuck = search(&steps, Limits { in_order: true, ..ANY_ORDER }).unwrap_err();
    assert!(stuck.exhausted && stuck.order.len() == 200 && stuck.waiting == [200], "{stuck:?}");
}
