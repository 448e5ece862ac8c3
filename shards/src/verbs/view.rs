//! What a decision is derived from.

use std::sync::Arc;

use api::{Object, Status};

use super::Call;
use crate::sequencer::{Charged, Guard, Newest, TableId, Ticket};
use crate::shard::Shard;
use crate::table::Key;
use crate::webhooks::Question;

/// What a decision is derived from. Whatever is read through it that is pending makes the answer wait for its batch.
pub(crate) struct View<'a> {
    shard: &'a Shard,
    pub(crate) object: Option<Arc<Object>>,
    pub(super) ticket: Option<Ticket>,
    pub(super) guards: Vec<Guard>,
    /// Nothing is written, though the request is no dry run.
    pub(crate) is_pretended: bool,
    /// What webhooks have to be asked before the decision can be taken.
    pub(crate) question: Option<Box<Question>>,
    /// What the new object takes of its namespace's quotas.
    pub(crate) charged: Option<Charged>,
    /// What the client is to be warned of, if it comes to this.
    pub(crate) warnings: Vec<String>,
}

impl<'a> View<'a> {
    pub(super) fn new(call: Call<'a>, dry_run: bool) -> Self {
        let Newest { object, ticket } = call.shard.sequencer.newest(call.table, &call.key());
        let is_pretended = dry_run && !call.is_dry_run();
        let (guards, question, charged, warnings) = Default::default();
        Self { shard: call.shard, object, ticket, guards, is_pretended, question, charged, warnings }
    }

    /// An answer that is derived from what is in a batch waits for it.
    pub(crate) fn wait_for(&mut self, ticket: Option<Ticket>) {
        self.ticket = ticket.map(|ticket| ticket.later(self.ticket.take())).or(self.ticket.take());
    }

    /// Another object of the same shard, newest state. A later change of it does not matter.
    pub(crate) fn read(&mut self, table: TableId, key: &Key) -> Option<Arc<Object>> {
        let Newest { object, ticket } = self.shard.sequencer.newest(table, key);
        self.wait_for(ticket);
        object
    }

    /// All objects of a namespace in another table of the same shard, newest state. Later changes do not matter.
    pub(crate) fn read_all(&mut self, table: TableId, namespace: &str) -> Vec<Arc<Object>> {
        let (objects, ticket) = self.shard.sequencer.newest_in(table, namespace);
        self.wait_for(ticket);
        objects
    }

    /// The same, and the decision holds only as long as that object does not change.
    pub(crate) fn read_guarded(&mut self, table: TableId, key: Key) -> Option<Arc<Object>> {
        let object = self.read(table, &key);
        let version = object.as_ref().map(|object| object.version);
        self.guards.push(Guard { table, key, version });
        object
    }

    /// The object, or 404.
    pub(crate) fn existing(&self, call: Call<'_>) -> Result<Arc<Object>, Status> {
        self.object.clone().ok_or_else(|| call.not_found())
    }
}
