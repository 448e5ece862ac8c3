//! Members and what they own.

use std::sync::Arc;

use api::slot::{SLOTS, Slot, SlotSet};
use bytes::Bytes;
use wire::proto::membership as proto;

use super::{Misread, required};
use crate::membership::records::Generation;
use crate::membership::{Pin, Roster, RosterMember, Standing};

pub(in crate::rpc) fn roster(roster: &Roster) -> proto::Roster {
    let mut owner_of = [0u32; SLOTS as usize];
    for (at, member) in roster.members.iter().enumerate() {
        member.slots.iter().for_each(|slot| owner_of[usize::from(slot.0)] = at as u32 + 1);
    }
    let owners = owner_of.chunk_by(|a, b| a == b).flat_map(|run| [run[0], run.len() as u32]);
    let member = |member: &RosterMember| proto::Member {
        ordinal: member.ordinal.into(),
        incarnation: Bytes::copy_from_slice(&member.incarnation.to_be_bytes()),
        addresses: member.addresses.iter().map(|address| address.as_str().to_owned()).collect(),
        standing: standing(member.standing).into(),
    };
    proto::Roster {
        generation: Bytes::copy_from_slice(&roster.generation.0.to_be_bytes()),
        number: roster.number,
        members: roster.members.iter().map(member).collect(),
        owners: owners.collect(),
    }
}

pub(in crate::rpc) fn read_roster(said: proto::Roster) -> Result<Roster, Misread> {
    let mut slots = vec![SlotSet::new(); said.members.len()];
    let (pairs, rest) = said.owners.as_chunks();
    let mut next = 0;
    for [owner, count] in pairs {
        let end = u32::from(next).checked_add(*count).filter(|end| *end <= SLOTS.into());
        let end = required(end, "as many owners as there are slots")? as u16;
        if let Some(at) = (*owner as usize).checked_sub(1) {
            let owned = required(slots.get_mut(at), "an owner of slots")?;
            (next..end).map(Slot).for_each(|slot| _ = owned.insert(slot));
        }
        next = end;
    }
    if next != SLOTS || !rest.is_empty() {
        return Err(Misread("a roster does not say who owns each slot".to_owned()));
    }
    let members = said.members.into_iter().zip(slots).map(|(member, slots)| read_member(member, slots));
    Ok(Roster {
        generation: Generation(number(&said.generation)?),
        number: said.number,
        members: members.collect::<Result<_, _>>()?,
    })
}

fn read_member(said: proto::Member, slots: SlotSet) -> Result<RosterMember, Misread> {
    Ok(RosterMember {
        ordinal: required(u16::try_from(said.ordinal).ok(), "a member's ordinal")?,
        incarnation: number(&said.incarnation)?,
        addresses: said.addresses.into_iter().map(Into::into).collect(),
        standing: match required(proto::Standing::try_from(said.standing).ok(), "a member's standing")? {
            proto::Standing::Joining => Standing::Joining,
            proto::Standing::Serving => Standing::Serving,
            proto::Standing::Draining => Standing::Draining,
            proto::Standing::ClockOff => Standing::ClockOff,
        },
        slots: Arc::new(slots),
    })
}

fn standing(standing: Standing) -> proto::Standing {
    match standing {
        Standing::Joining => proto::Standing::Joining,
        Standing::Serving => proto::Standing::Serving,
        Standing::Draining => proto::Standing::Draining,
        Standing::ClockOff => proto::Standing::ClockOff,
    }
}

fn number(bytes: &[u8]) -> Result<u128, Misread> {
    required(bytes.try_into().ok().map(u128::from_be_bytes), "a number of 16 bytes")
}

pub(in crate::rpc) fn pin(slots: &SlotSet, pin: Option<&Pin>) -> proto::PinRequest {
    let pin =
        pin.map(|pin| proto::Pin { to: pin.to.into(), namespace: pin.namespace.as_str().to_owned(), alone: pin.alone });
    proto::PinRequest { slots: slots.to_bytes().into(), pin }
}

pub(in crate::rpc) fn read_pin(said: proto::PinRequest) -> Result<(SlotSet, Option<Pin>), Misread> {
    let pin = |said: proto::Pin| {
        let to = required(u16::try_from(said.to).ok(), "a member's ordinal")?;
        Ok(Pin { to, namespace: said.namespace.into(), alone: said.alone })
    };
    Ok((super::read_slots(&said.slots)?, said.pin.map(pin).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(ordinal: u16, standing: Standing, slots: SlotSet) -> RosterMember {
        let addresses = vec![format!("10.0.0.{ordinal}:7000").into()];
        RosterMember { ordinal, incarnation: u128::from(ordinal) << 100, addresses, standing, slots: Arc::new(slots) }
    }

    #[test]
    fn a_roster_travels_whole() {
        let odd: SlotSet = (0..SLOTS).filter(|slot| slot % 2 == 1).map(Slot).collect();
        let few: SlotSet = [0, 2, 4094].map(Slot).into_iter().collect();
        let members = vec![
            member(0, Standing::Serving, odd),
            member(3, Standing::Draining, few),
            member(4095, Standing::ClockOff, SlotSet::new()),
        ];
        for members in [members, vec![member(1, Standing::Joining, SlotSet::full())], Vec::new()] {
            let expected = Roster { generation: Generation(7 << 64), number: 3, members };
            assert_eq!(read_roster(roster(&expected)).unwrap(), expected);
        }
    }

    #[test]
    fn owners_that_make_no_sense_are_misread() {
        let said =
            roster(&Roster { members: vec![member(1, Standing::Serving, SlotSet::full())], ..Roster::default() });
        for owners in [vec![1, 4095], vec![1, 4097], vec![2, 4096], vec![1, 4096, 1], vec![1, u32::MAX, 1, 2], vec![]] {
            assert!(read_roster(proto::Roster { owners: owners.clone(), ..said.clone() }).is_err(), "{owners:?}");
        }
    }

    #[test]
    fn pins_travel() {
        let slots: SlotSet = [Slot(9)].into_iter().collect();
        let expected = Pin { to: 2, namespace: "default/hot".into(), alone: true };
        let (found, found_pin) = read_pin(pin(&slots, Some(&expected))).unwrap();
        assert_eq!((found, found_pin), (slots.clone(), Some(expected)));
        assert_eq!(read_pin(pin(&slots, None)).unwrap().1, None);
    }
}
