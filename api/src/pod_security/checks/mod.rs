//! The checks, one file each, in the order in which they complain: those of `baseline`, then those of `restricted`, by name.

mod allow_privilege_escalation;
mod app_armor_profile;
mod capabilities_baseline;
mod capabilities_restricted;
mod host_namespaces;
mod host_path_volumes;
mod host_ports;
mod host_probes_and_host_lifecycle;
mod privileged;
mod proc_mount;
mod restricted_volumes;
mod run_as_non_root;
mod run_as_user;
mod se_linux_options;
mod seccomp_profile_baseline;
mod seccomp_profile_restricted;
mod sysctls;
mod windows_host_process;

use super::Finding;
use super::level::{Level, LevelVersion, Version};
use super::subject::Subject;

type Run = fn(&Subject<'_>) -> Option<Finding>;

/// A check, as versions have it.
struct Check {
    /// Those of `restricted` that replace a check of `baseline` name it.
    id: &'static str,
    level: Level,
    revisions: &'static [Revision],
}

/// A check as it has been since a minor version of Kubernetes 1.
struct Revision {
    since: u64,
    run: Run,
    /// The check of `baseline` that is left out where this one runs.
    instead_of: &'static str,
}

/// A revision that replaces nothing.
const fn since(since: u64, run: Run) -> Revision {
    Revision { since, run, instead_of: "" }
}

const CHECKS: [&Check; 19] = [
    &app_armor_profile::CHECK,
    &capabilities_baseline::CHECK,
    &host_namespaces::CHECK,
    &host_path_volumes::CHECK,
    &host_ports::CHECK,
    &host_probes_and_host_lifecycle::CHECK,
    &privileged::CHECK,
    &proc_mount::BASELINE,
    &se_linux_options::CHECK,
    &seccomp_profile_baseline::CHECK,
    &sysctls::CHECK,
    &windows_host_process::CHECK,
    &allow_privilege_escalation::CHECK,
    &capabilities_restricted::CHECK,
    &proc_mount::RESTRICTED,
    &restricted_volumes::CHECK,
    &run_as_non_root::CHECK,
    &run_as_user::CHECK,
    &seccomp_profile_restricted::CHECK,
];

/// The checks of a level as of a version. One that is newer than all of them is the newest of them.
pub(super) fn of(at: LevelVersion) -> impl Iterator<Item = Run> {
    let minor = match at.version {
        Version::Latest => u64::MAX,
        Version::Minor(minor) => minor,
    };
    let present = move |check: &&Check| {
        check.level <= at.level && check.revisions.first().is_some_and(|first| first.since <= minor)
    };
    let revision = move |check: &Check| check.revisions.iter().rev().find(|revision| revision.since <= minor);
    let replaced = move |id: &str| {
        CHECKS.into_iter().filter(present).filter_map(revision).any(|revision| revision.instead_of == id)
    };
    CHECKS.into_iter().filter(present).filter(move |check| !replaced(check.id)).filter_map(revision).map(|it| it.run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_in_order_and_their_revisions_too() {
        let order: Vec<(Level, &str)> = CHECKS.iter().map(|check| (check.level, check.id)).collect();
        assert!(order.is_sorted(), "{order:?}");
        for check in CHECKS {
            assert!(check.level > Level::Privileged, "{}", check.id);
            assert!(check.revisions.is_sorted_by(|a, b| a.since < b.since), "{}", check.id);
            for revision in check.revisions.iter().filter(|revision| !revision.instead_of.is_empty()) {
                let replaced = CHECKS.iter().find(|check| check.id == revision.instead_of).unwrap();
                assert_eq!((check.level, replaced.level), (Level::Restricted, Level::Baseline));
            }
        }
    }

    #[test]
    fn a_level_has_as_many_checks_as_its_version_knew() {
        let count = |level, version| of(LevelVersion { level, version }).count();
        for (version, baseline, restricted) in [
            // restrictedVolumes replaces hostPathVolumes; runAsNonRoot is added.
            (Version::Minor(0), 11, 12),
            (Version::Minor(8), 11, 13),
            (Version::Minor(19), 11, 13),
            (Version::Minor(22), 11, 13),
            (Version::Minor(23), 11, 14),
            (Version::Minor(33), 11, 14),
            (Version::Minor(34), 12, 15),
            (Version::Minor(35), 12, 15),
            (Version::Minor(1000), 12, 15),
            (Version::Latest, 12, 15),
        ] {
            assert_eq!(count(Level::Baseline, version), baseline, "{version}");
            assert_eq!(count(Level::Restricted, version), restricted, "{version}");
            assert_eq!(count(Level::Privileged, version), 0, "{version}");
        }
    }
}
