//! The classes that there are.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Class;
use crate::columns::Columns;
use crate::view::Needs;

/// The classes that have been asked for lately, as many as a byte budget holds.
pub(crate) struct Classes {
    classes: HashMap<Arc<Needs>, Class>,
    budget: usize,
    clock: u64,
}

/// How many uses go by between two looks at the budget.
const REVIEW: u64 = 256;

/// How many uses an owner's pods are remembered for: as many owners as take turns cost nothing but memory.
const OWNERS: u64 = 4096;

impl Classes {
    pub(crate) fn new(budget: usize) -> Self {
        Self { classes: HashMap::new(), budget, clock: 0 }
    }

    /// The class of these needs, up to date with the nodes.
    pub(crate) fn get(&mut self, needs: &Arc<Needs>, columns: &Columns) -> &mut Class {
        self.clock += 1;
        if self.clock.is_multiple_of(REVIEW) {
            self.shrink();
        }
        let class = self.classes.entry_ref(needs).or_insert_with(|| Class::new(needs.clone()));
        class.used = self.clock;
        class.refresh(columns);
        class
    }

    /// Drops the classes that were not used for longest until the rest is within the budget.
    fn shrink(&mut self) {
        for class in self.classes.values_mut() {
            class.forget_siblings(self.clock.saturating_sub(OWNERS));
        }
        let mut sizes: Vec<_> = self.classes.values().map(|class| (class.used, class.size())).collect();
        sizes.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut sum = 0;
        let first_out = sizes.iter().find(|(_, size)| {
            sum += size;
            sum > self.budget
        });
        if let Some((oldest, _)) = first_out.copied() {
            self.classes.retain(|_, class| class.used > oldest);
        }
    }

    /// Number of classes.
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Compares every class, for every owner that it knows, with one that is made from scratch.
    #[cfg(test)]
    pub(crate) fn consistency_check(&mut self, columns: &Columns) -> Result<(), String> {
        for (needs, class) in &mut self.classes {
            class.refresh(columns);
            let mut fresh = Class::new(needs.clone());
            fresh.refresh(columns);
            for owner in std::iter::once(None).chain(class.siblings.keys().copied().map(Some).collect::<Vec<_>>()) {
                let (kept, fresh) = (class.scores(owner, columns), fresh.scores(owner, columns));
                if kept != fresh {
                    return Err(format!("class {needs:?} for {owner:?}: kept {kept:?}, fresh {fresh:?}"));
                }
            }
            if class.allowed != fresh.allowed {
                return Err(format!("class {needs:?}: kept {:?}, fresh {:?}", class.allowed, fresh.allowed));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::json;

    use super::*;
    use crate::view::PodView;

    #[test]
    fn owners_that_are_not_asked_about_are_forgotten() {
        let mut columns = Columns::default();
        let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"pods": "10"}}});
        columns.upsert_node(&Arc::new(serde_json::from_value(node).unwrap()));
        let mut classes = Classes::new(64 << 20);
        let mut random = StdRng::seed_from_u64(0);
        for number in 0..3 * OWNERS {
            let owner =
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": number.to_string(), "controller": true});
            let pod: PodView = serde_json::from_value(json!({"metadata": {"ownerReferences": [owner]}})).unwrap();
            let class = classes.get(pod.needs.as_ref().unwrap(), &columns);
            assert!(class.best(pod.owner, &columns, &mut random).is_some());
        }
        assert_eq!(classes.len(), 1);
        let kept = classes.classes.values().next().unwrap().siblings.len() as u64;
        assert!((OWNERS..=OWNERS + REVIEW).contains(&kept), "{kept}");
    }
}
