//! Taking an ordinal.

use api::ambient::Ambient;
use api::version::MAX_ORDINALS;
use smol_str::SmolStr;
use store::{SharedStore, StoreError};

use super::Timing;
use super::batch::Change;
use super::directory::{HeldLease, Pulse};
use super::fence::successor;
use super::observer::Observer;
use super::records::{self, Lease, Standing};
use crate::claim;
use crate::keys::{self, Epoch};
use crate::shard::OpenError;

/// How often somebody else may be faster.
const TRIES: usize = 16;

/// Who wants to be a member.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The ordinal that it must have; `None`: the lowest that nobody holds.
    pub ordinal: Option<u16>,
    /// Where others reach it, `host:port`.
    pub addresses: Vec<SmolStr>,
    /// Its program's version.
    pub build: SmolStr,
    /// Whether no other process can have the store open: a lease of the wanted ordinal is of a process that has ended, and
    /// is taken over without waiting.
    pub only_process: bool,
}

/// Why a process did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Somebody lives under that ordinal.
    #[error(
        "ordinal {ordinal} is taken: a shard at {place} holds it and renews its lease (incarnation {incarnation:032x}); \
         give this one another --ordinal, or stop that one"
    )]
    Taken {
        /// The ordinal.
        ordinal: u16,
        /// Where the other one is reached.
        place: String,
        /// The other one's incarnation.
        incarnation: u128,
    },
    /// There is no ordinal left, or none of that number.
    #[error("{0}")]
    Ordinal(String),
    /// The store is of another program.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Others were faster too often.
    #[error("others keep registering at the same moment; start again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An ordinal that was taken.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The member's number.
    pub ordinal: u16,
    pub(crate) epoch: Epoch,
    /// As it was written.
    pub(crate) held: HeldLease,
    /// The boot clock when that was begun: the lease counts from here.
    pub(crate) began: std::time::Duration,
}

impl Registration {
    /// What a shard is opened under (see [`crate::Shard::open_under`]).
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What stands in the store.
    pub fn lease(&self) -> &Lease {
        &self.held.lease
    }
}

/// Takes an ordinal that nobody holds, or whose holder has been silent for the TTL. Waits for that if need be, and so
/// answers within two TTLs unless the store is slow.
pub async fn register(
    store: &SharedStore,
    ambient: &Ambient,
    timing: &Timing,
    identity: &Identity,
) -> Result<Registration, JoinError> {
    if let Some(ordinal) = identity.ordinal.filter(|ordinal| *ordinal >= MAX_ORDINALS) {
        return Err(JoinError::Ordinal(format!("there is no ordinal {ordinal}: the highest is {}", MAX_ORDINALS - 1)));
    }
    // Before anything is written.
    claim::check_format(store).await?;
    for _ in 0..TRIES {
        let pulse = Pulse::read(&**store).await?;
        let ordinal = match identity.ordinal {
            Some(ordinal) => ordinal,
            None => lowest_free(&pulse)?,
        };
        let silent = match pulse.leases.get(&ordinal) {
            Some(held) if identity.only_process => Some(held.clone()),
            Some(_) => match wait_for_silence(store, ambient, timing, ordinal).await? {
                Ok(silent) => silent,
                Err(living) => return Err(taken(ordinal, &living.lease)),
            },
            None => None,
        };
        match take(store, ambient, identity, ordinal, silent).await {
            Err(JoinError::Store(StoreError::Fenced { .. })) => {}
            other => return other,
        }
    }
    Err(JoinError::Contended)
}

fn lowest_free(pulse: &Pulse) -> Result<u16, JoinError> {
    let free = (0..MAX_ORDINALS).find(|ordinal| !pulse.leases.contains_key(ordinal));
    free.ok_or_else(|| JoinError::Ordinal(format!("all {MAX_ORDINALS} ordinals are held")))
}

/// Watches a lease until it has gone (`None`), was silent for the TTL, or moved (the error).
async fn wait_for_silence(
    store: &SharedStore,
    ambient: &Ambient,
    timing: &Timing,
    ordinal: u16,
) -> Result<Result<Option<HeldLease>, HeldLease>, StoreError> {
    let mut observer = Observer::new(timing);
    let mut first: Option<HeldLease> = None;
    loop {
        let pulse = Pulse::read(&**store).await?;
        observer.observe(ambient.clock.boot(), &pulse);
        let Some(now) = pulse.leases.get(&ordinal) else { return Ok(Ok(None)) };
        if first.get_or_insert_with(|| now.clone()) != now {
            return Ok(Err(now.clone()));
        }
        if observer.is_dead(ambient.clock.boot(), ordinal) {
            return Ok(Ok(Some(now.clone())));
        }
        tokio::time::sleep(timing.poll).await;
    }
}

fn taken(ordinal: u16, lease: &Lease) -> JoinError {
    JoinError::Taken { ordinal, place: lease.place(), incarnation: lease.incarnation }
}

async fn take(
    store: &SharedStore,
    ambient: &Ambient,
    identity: &Identity,
    ordinal: u16,
    silent: Option<HeldLease>,
) -> Result<Registration, JoinError> {
    let owner = store.get(keys::ordinal_owner(ordinal)).await?;
    let epoch = successor(owner.as_deref(), ordinal, ambient);
    let (began, wall) = (ambient.clock.boot(), ambient.clock.wall_micros());
    let lease = Lease {
        incarnation: epoch.incarnation,
        renewals: 0,
        standing: Standing::Joining,
        addresses: identity.addresses.clone(),
        started: wall,
        clock: wall,
        build: identity.build.clone(),
        format: keys::FORMAT,
    };
    let held = HeldLease { raw: lease.encode(), lease };
    let mut change = Change::new(ambient);
    change.fence(records::lease(ordinal), silent.map(|silent| silent.raw));
    change.fence(keys::ordinal_owner(ordinal), owner);
    change.put(keys::ordinal_owner(ordinal), epoch.encode());
    change.put(records::lease(ordinal), held.raw.clone());
    change.commit(&**store).await?;
    Ok(Registration { ordinal, epoch, held, began })
}
