//! Rosters in the protocol's words.

use std::sync::Arc;

use wire::proto::membership as proto;

use crate::membership::records::Generation;
use crate::membership::{Roster, RosterMember, Standing};
use crate::rpc::convert::{Misread, read_slots, required};

pub(super) fn roster(roster: &Roster) -> proto::Roster {
    proto::Roster {
        generation: roster.generation.0.to_be_bytes().to_vec().into(),
        number: roster.number,
        members: roster.members.iter().map(member).collect(),
    }
}

fn member(member: &RosterMember) -> proto::Member {
    let standing = match member.standing {
        Standing::Joining => proto::Standing::Joining,
        Standing::Serving => proto::Standing::Serving,
        Standing::Draining => proto::Standing::Draining,
        Standing::ClockOff => proto::Standing::ClockOff,
    };
    proto::Member {
        ordinal: u32::from(member.ordinal),
        incarnation: number(member.incarnation),
        addresses: member.addresses.iter().map(ToString::to_string).collect(),
        standing: standing.into(),
        slots: member.slots.to_bytes().into(),
    }
}

pub(super) fn read_roster(said: proto::Roster) -> Result<Roster, Misread> {
    let generation = Generation(read_number(&said.generation)?);
    let members = said.members.into_iter().map(read_member).collect::<Result<_, _>>()?;
    Ok(Roster { generation, number: said.number, members })
}

fn read_member(said: proto::Member) -> Result<RosterMember, Misread> {
    let standing = match said.standing() {
        proto::Standing::Joining => Standing::Joining,
        proto::Standing::Serving => Standing::Serving,
        proto::Standing::Draining => Standing::Draining,
        proto::Standing::ClockOff => Standing::ClockOff,
    };
    Ok(RosterMember {
        ordinal: required(u16::try_from(said.ordinal).ok(), "an ordinal")?,
        incarnation: read_number(&said.incarnation)?,
        addresses: said.addresses.into_iter().map(Into::into).collect(),
        standing,
        slots: Arc::new(read_slots(&said.slots)?),
    })
}

/// 16 bytes.
pub(super) fn number(number: u128) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&number.to_be_bytes())
}

pub(super) fn read_number(bytes: &[u8]) -> Result<u128, Misread> {
    required(bytes.try_into().ok().map(u128::from_be_bytes), "a number of 16 bytes")
}

#[cfg(test)]
mod tests {
    use api::slot::Slot;

    use super::*;

    #[test]
    fn rosters_survive_the_way() {
        let of = |ordinal: u16, standing| RosterMember {
            ordinal,
            incarnation: u128::MAX - u128::from(ordinal),
            addresses: vec![format!("shard-{ordinal}:7400").into()],
            standing,
            slots: Arc::new([Slot(ordinal), Slot(4095 - ordinal)].into_iter().collect()),
        };
        let standings = [Standing::Joining, Standing::Serving, Standing::Draining, Standing::ClockOff];
        let members = standings.into_iter().enumerate().map(|(at, standing)| of(at as u16, standing)).collect();
        let sent = Roster { generation: Generation(7 << 90), number: 3, members };
        assert_eq!(read_roster(roster(&sent)).unwrap(), sent);
        let mut cut = roster(&sent);
        cut.members[0].slots = cut.members[0].slots.slice(1..);
        assert!(read_roster(cut).is_err());
    }
}
