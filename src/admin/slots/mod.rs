//! `admin slots`: who owns which slots, and where some of them have to be (DESIGN D3, D6). It talks to the store itself, so it
//! works whatever the shards do; they follow what it writes within a fraction of a second.

mod picture;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use api::ambient::Ambient;
use api::slot::{SLOTS, Slot, SlotSet, of_namespace};
use clap::{Args, Subcommand};
use shards::membership::assign::Targets;
use shards::membership::pins::pin;
use shards::membership::{Directory, Pin};
use store::{SharedStore, StoreUrl};
use wire::{Identity, Role};

use self::picture::Picture;
use super::Output;
use crate::{Failure, ambient, cli, storage};

/// From one look at what has moved to the next.
const LOOK: Duration = Duration::from_millis(100);

/// Flags of `admin slots`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SlotsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Where objects are kept: grpc://HOST:PORT (`shardplane store`), fdb:CLUSTER_FILE, or the directory of a store that
    /// no process has open
    #[arg(long, env = "SHARDPLANE_STORE", value_name = "STORE", global = true)]
    store: Option<StoreUrl>,
    /// Directory of the CA and the certificates that processes know each other by, for grpc://
    #[arg(
        long,
        env = "SHARDPLANE_INTERNAL_CA_DIR",
        default_value = ".shardplane/internal",
        value_name = "DIR",
        global = true
    )]
    internal_ca_dir: PathBuf,
    /// How answers are written
    #[arg(short, long, default_value = "table", value_name = "FORMAT", global = true)]
    output: Output,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Show members, what they own, and pins: what is done without a command
    List,
    /// Pin slots, or the slot of a namespace, to a shard, and wait until they are there
    ///
    /// They stay there as long as that shard lives; while it does not, they are where they would be without the pin.
    Move {
        #[command(flatten)]
        which: Which,
        /// Ordinal of the shard
        #[arg(long, value_name = "ORDINAL")]
        to: u16,
        /// Give the shard nothing but what is pinned to it: a hot namespace with a shard of its own
        #[arg(long)]
        alone: bool,
        /// How long to wait for them to be there
        #[arg(long, default_value = "30s", value_parser = cli::duration, value_name = "TIME")]
        wait: Duration,
    },
    /// Take pins away
    Unpin {
        #[command(flatten)]
        which: Which,
        /// All pins
        #[arg(long, conflicts_with_all = ["namespace", "slots"])]
        all: bool,
    },
}

/// Which slots.
#[derive(Clone, Debug, Args)]
struct Which {
    /// The slot of this namespace. What else lives in that slot comes along; a namespace is never split
    #[arg(long, value_name = "NAMESPACE", conflicts_with = "slots")]
    namespace: Option<String>,
    /// Id of the namespace's logical cluster, as `admin clusters list` shows it
    #[arg(long, default_value = "default", value_name = "ID")]
    cluster: String,
    /// Slots by number: 0-99,512
    #[arg(long, value_parser = ranges, value_name = "RANGES")]
    slots: Option<SlotSet>,
}

impl Which {
    fn slots(&self) -> Result<SlotSet, Failure> {
        match (&self.namespace, &self.slots) {
            (Some(namespace), _) => Ok([of_namespace(&self.cluster, namespace)].into_iter().collect()),
            (None, Some(slots)) => Ok(slots.clone()),
            (None, None) => Err("which slots? Say --namespace NAMESPACE or --slots RANGES".into()),
        }
    }
}

/// Slots as people write them.
fn ranges(text: &str) -> Result<SlotSet, String> {
    let number = |text: &str| match text.trim().parse::<u16>() {
        Ok(slot) if slot < SLOTS => Ok(slot),
        _ => Err(format!("`{text}` is no slot: they are numbered from 0 to {}", SLOTS - 1)),
    };
    let mut slots = SlotSet::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("`{range}` is no range: it ends before it begins"));
        }
        (first..=last).for_each(|slot| {
            slots.insert(Slot(slot));
        });
    }
    Ok(slots)
}

pub(super) async fn run(args: SlotsArgs) -> Result<ExitCode, Failure> {
    let ambient = ambient::machine();
    let store = open(&args, &ambient).await?;
    match &args.action {
        None | Some(Action::List) => show(&store, &ambient, args.output).await?,
        Some(Action::Move { which, to, alone, wait }) => {
            let namespace =
                which.namespace.as_ref().map(|name| format!("{}/{name}", which.cluster)).unwrap_or_default();
            let to = Pin { to: *to, namespace: namespace.into(), alone: *alone };
            move_to(&store, &ambient, &which.slots()?, &to, *wait).await?;
            show(&store, &ambient, args.output).await?;
        }
        Some(Action::Unpin { which, all }) => {
            let slots = if *all { SlotSet::full() } else { which.slots()? };
            let pinned = unpin(&store, &ambient, &slots).await?;
            tracing::info!("{} pins are gone; the slots go where they would be without", pinned.len());
            show(&store, &ambient, args.output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(args: &SlotsArgs, ambient: &Ambient) -> Result<SharedStore, Failure> {
    let url =
        args.store.as_ref().ok_or("which store? Say --store grpc://HOST:PORT, fdb:CLUSTER_FILE or a directory")?;
    let identity = match url {
        StoreUrl::Memory => return Err("--store memory: ends with the process that has it".into()),
        // Nothing is made by a look.
        StoreUrl::Embedded(directory) if !directory.is_dir() => {
            return Err(format!("--store {}: there is no such directory", directory.display()).into());
        }
        StoreUrl::Remote(_) => {
            let directory = &args.internal_ca_dir;
            if !directory.join("ca.crt").is_file() {
                let shown = directory.display();
                return Err(
                    format!("--internal-ca-dir {shown}: there is no ca.crt in it, so {url} would not answer").into()
                );
            }
            Some(Identity::ensure(directory, Role::Admin, ambient)?)
        }
        _ => None,
    };
    storage::open(url, identity.as_ref(), ambient).await
}

#[allow(clippy::print_stdout, reason = "the table is the data that this command is for")]
async fn show(store: &SharedStore, ambient: &Ambient, output: Output) -> Result<(), Failure> {
    let picture = Picture::of(&Directory::read(&**store).await?);
    match output {
        Output::Json => println!("{:#}", picture.to_value()),
        Output::Table => print!("{}", picture.table(ambient.clock.wall_micros())),
    }
    Ok(())
}

async fn move_to(
    store: &SharedStore,
    ambient: &Ambient,
    slots: &SlotSet,
    to: &Pin,
    wait: Duration,
) -> Result<(), Failure> {
    let directory = Directory::read(&**store).await?;
    check_member(&directory, to.to)?;
    pin(&**store, ambient, slots, Some(to)).await?;
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let directory = Directory::read(&**store).await?;
        let targets = Targets::of(&directory);
        let there = |slot: &Slot| targets.of_slot(*slot) == directory.owner(*slot);
        let missing = slots.iter().filter(|slot| !there(slot)).count();
        if missing == 0 {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(format!(
                "{missing} of {} slots are not at shard {} after {wait:?}; the pins stay, and they move when they can",
                slots.len(),
                to.to
            )
            .into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A pin to a shard that is not there would do nothing now and surprise somebody later.
fn check_member(directory: &Directory, ordinal: u16) -> Result<(), Failure> {
    let eligible = directory.eligible();
    if eligible.contains(&ordinal) {
        return Ok(());
    }
    if let Some(held) = directory.pulse.leases.get(&ordinal) {
        return Err(format!("shard {ordinal} takes no slots now ({})", held.lease.standing).into());
    }
    let living: Vec<String> = eligible.iter().map(u16::to_string).collect();
    match living.is_empty() {
        true => Err("no shards are registered in this store: those of `shardplane up` do not move".into()),
        false => Err(format!("there is no shard {ordinal}: those that live are {}", living.join(", ")).into()),
    }
}

/// Takes pins away; answers which there were.
async fn unpin(store: &SharedStore, ambient: &Ambient, slots: &SlotSet) -> Result<SlotSet, Failure> {
    let directory = Directory::read(&**store).await?;
    let pinned: SlotSet = directory.pins.keys().copied().filter(|slot| slots.contains(*slot)).collect();
    if pinned.is_empty() {
        return Err("none of these slots is pinned".into());
    }
    pin(&**store, ambient, &pinned, None).await?;
    Ok(pinned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shards::membership::{Identity, Timing, register};
    use store::MemoryStore;

    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_written() {
        for text in ["0-99,101", "4095", "0-4095", "3"] {
            assert_eq!(ranges(text).unwrap().to_string(), text);
        }
        assert_eq!(ranges("5,3-4, 6").unwrap().to_string(), "3-6");
        for text in ["", "4096", "9-3", "a", "1-", "-1", "1,,2"] {
            assert!(ranges(text).is_err(), "{text}");
        }
        assert_eq!(ranges("7-x").unwrap_err(), "`x` is no slot: they are numbered from 0 to 4095");
    }

    #[tokio::test]
    async fn pins_are_checked_shown_and_taken_away() {
        let (store, ambient): (SharedStore, _) = (Arc::new(MemoryStore::new()), ambient::machine());
        let slots = ranges("7-9").unwrap();
        let to = |to| Pin { to, namespace: "default/hot".into(), alone: true };
        let none = move_to(&store, &ambient, &slots, &to(1), Duration::ZERO).await.unwrap_err();
        assert!(none.to_string().starts_with("no shards are registered"), "{none}");
        let identity = Identity { ordinal: Some(1), addresses: vec!["10.0.0.1:7400".into()], ..Identity::default() };
        register(&store, &ambient, &Timing::default(), &identity).await.unwrap();
        let joining = move_to(&store, &ambient, &slots, &to(1), Duration::ZERO).await.unwrap_err();
        assert_eq!(joining.to_string(), "shard 1 takes no slots now (joining)");

        pin(&*store, &ambient, &slots, Some(&to(1))).await.unwrap();
        let picture = Picture::of(&Directory::read(&*store).await.unwrap());
        let value = picture.to_value();
        assert_eq!(value["members"][0]["addresses"][0], "10.0.0.1:7400");
        assert_eq!((&value["pins"][0]["slots"], &value["pins"][0]["alone"]), (&"7-9".into(), &true.into()));
        assert_eq!(value["unowned"], "0-4095");
        let table = picture.table(ambient.clock.wall_micros());
        assert!(table.contains("joining") && table.contains("default/hot") && table.contains("nobody"), "{table}");

        assert_eq!(unpin(&store, &ambient, &ranges("8").unwrap()).await.unwrap().len(), 1);
        let again = unpin(&store, &ambient, &ranges("8").unwrap()).await.unwrap_err();
        assert_eq!(again.to_string(), "none of these slots is pinned");
    }
}
