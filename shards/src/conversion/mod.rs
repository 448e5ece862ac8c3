//! Custom objects in the version that somebody wants them in, where that takes more than to hand out what is stored: a schema
//! has changed since, versions keep different fields, or the definition names a webhook that converts between them.
//!
//! What is made of a stored object is kept, within a budget of bytes ([`Kept`]), under what it was made of: the bytes that are
//! stored, the definition in its generation, and the version. However many want the same at once, it is made once ([`flights`]).
//! A webhook is shown many objects at a time ([`review`]).
//!
//! Start reading at [`Conversions::objects`].

mod flights;
mod review;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use api::crd::{Definition, Reading, Webhook};
use api::object::Draft;
use api::{Object, Resource, Status, Value};
use futures_util::{StreamExt, stream};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::kept::Kept;
use crate::outside::{Breaker, Caller, Client};
use flights::{Flights, Role};
use review::ReviewVersion;

/// How long a webhook may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects that a webhook is shown at once, and their bytes.
const BATCH: (usize, usize) = (500, 1 << 20);
/// Batches of one list under way at once.
const BATCHES: usize = 4;

/// The contents of an object, by the definition, in the version that is wanted.
type Key = u128;

/// See the module. One for each process that renders or writes custom objects.
pub struct Conversions {
    kept: Kept<Key, Arc<Object>>,
    flights: Flights,
    bytes: Gauge,
    hits: Counter,
    made: Counter,
    calls: Counter,
    failures: Counter,
}

/// What is to be converted by a webhook: a document without kind and apiVersion, and the version that it is in.
struct Item<'a> {
    document: &'a Value,
    from: usize,
}

/// The way to a definition's webhook, kept with the definition.
struct Converter {
    client: Client,
    breaker: Breaker,
    version: Option<ReviewVersion>,
}

impl Conversions {
    /// Keeps so many bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            kept: Kept::new(budget),
            flights: Flights::default(),
            bytes: Gauge::default(),
            hits: Counter::default(),
            made: Counter::default(),
            calls: Counter::default(),
            failures: Counter::default(),
        }
    }

    /// Shows what is counted.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Bytes of custom objects that are kept in other versions than they are stored in";
        registry.register("shardplane_conversions_bytes", help, self.bytes.clone());
        let help = "Custom objects that were there in the version that was wanted";
        registry.register("shardplane_conversions_hits", help, self.hits.clone());
        let help = "Custom objects that were made in the version that was wanted";
        registry.register("shardplane_conversions_made", help, self.made.clone());
        let help = "Calls of conversion webhooks";
        registry.register("shardplane_conversions_calls", help, self.calls.clone());
        let help = "Calls of conversion webhooks that came to nothing";
        registry.register("shardplane_conversions_failures", help, self.failures.clone());
    }

    /// Objects as they are in a served version, in the same order. Built-in kinds, and what is stored as it is wanted, pass
    /// through.
    pub async fn objects(
        &self,
        caller: Caller<'_>,
        resource: &Resource,
        served: usize,
        mut objects: Vec<Arc<Object>>,
    ) -> Result<Vec<Arc<Object>>, Status> {
        if !resource.is_custom() {
            return Ok(objects);
        }
        let mut waiting: Vec<Waiting> = Vec::new();
        for (at, object) in objects.iter_mut().enumerate() {
            match resource.reading(object, served)? {
                Reading::AsItIs => {}
                reading => {
                    let key = key(resource, served, object);
                    match (self.kept.get(&key), reading) {
                        (Some(kept), _) => {
                            self.hits.inc();
                            *object = kept;
                        }
                        (None, Reading::ByWebhook(from)) => waiting.push(Waiting { at, key, from }),
                        (None, _) => *object = self.keep(key, by_schema(resource, served, object, reading)),
                    }
                }
            }
        }
        if !waiting.is_empty() {
            self.convert(caller, resource, served, &mut objects, waiting).await?;
        }
        Ok(objects)
    }

    /// One object in a served version.
    pub async fn object(
        &self,
        caller: Caller<'_>,
        resource: &Resource,
        served: usize,
        object: Arc<Object>,
    ) -> Result<Arc<Object>, Status> {
        if resource.reading(&object, served)? == Reading::AsItIs {
            return Ok(object);
        }
        let mut all = self.objects(caller, resource, served, vec![object]).await?;
        all.pop().ok_or_else(|| Status::internal("as many objects come back as were sent"))
    }

    /// A document, which is not stored (yet), in another version: without kind and apiVersion, and canonical. It is not kept.
    pub(crate) async fn document(
        &self,
        caller: Caller<'_>,
        resource: &Resource,
        document: &Value,
        from: usize,
        to: usize,
    ) -> Result<Value, Status> {
        if from == to || !resource.converts_by_webhook() {
            return Ok(resource.fitted(document.clone(), from, to));
        }
        let mut made = self.ask(caller, resource, to, &[Item { document, from }]).await?;
        made.pop().ok_or_else(|| Status::internal("as many documents come back as were sent"))
    }

    /// Asks the webhook for what nobody else asks for already, and waits for the rest.
    async fn convert(
        &self,
        caller: Caller<'_>,
        resource: &Resource,
        served: usize,
        objects: &mut [Arc<Object>],
        waiting: Vec<Waiting>,
    ) -> Result<(), Status> {
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for Waiting { at, key, from } in waiting {
            match self.flights.join(key) {
                Role::Leads(flight) => ours.push((at, flight, resource.renewed(&objects[at], from), from)),
                Role::Waits(landing) => others.push((at, landing)),
            }
        }
        let mut asked = stream::iter(batches(ours, objects)).map(|batch| async {
            let items: Vec<_> = batch.iter().map(|(.., document, from)| Item { document, from: *from }).collect();
            (self.ask(caller, resource, served, &items).await, batch)
        });
        let mut asked = asked.by_ref().buffer_unordered(BATCHES);
        let mut failed = None;
        while let Some((result, batch)) = asked.next().await {
            match result {
                Ok(documents) => {
                    for ((at, flight, ..), document) in batch.into_iter().zip(documents) {
                        let made = sealed(resource, served, &objects[at], &document);
                        objects[at] = self.keep(flight.key(), made);
                        flight.land(Ok(objects[at].clone()));
                    }
                }
                Err(status) => {
                    batch.into_iter().for_each(|(_, flight, ..)| flight.land(Err(status.clone())));
                    failed.get_or_insert(status);
                }
            }
        }
        if let Some(status) = failed {
            return Err(status);
        }
        let mut left = Vec::new();
        for (at, landing) in others {
            match landing.landed().await {
                Some(landed) => objects[at] = landed?,
                // Whoever asked has given up.
                None => left.push(objects[at].clone()),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let made = Box::pin(self.objects(caller, resource, served, objects.to_vec())).await?;
        objects.clone_from_slice(&made);
        Ok(())
    }

    fn keep(&self, key: Key, object: Object) -> Arc<Object> {
        self.made.inc();
        let object = Arc::new(object);
        self.bytes.inc_by(self.kept.put(key, object.clone(), object.cost()).bytes);
        object
    }

    /// Has the definition's webhook convert documents; answers them in the same order, fit for the version's schema.
    async fn ask(
        &self,
        caller: Caller<'_>,
        resource: &Resource,
        to: usize,
        items: &[Item<'_>],
    ) -> Result<Vec<Value>, Status> {
        let Some(webhook) = resource.definition.as_ref().and_then(|it| Some((&**it, it.webhook.as_ref()?))) else {
            return Err(Status::internal("a kind without a webhook is converted by one"));
        };
        self.calls.inc();
        let converted = self.call(caller, resource, to, items, webhook).await;
        let mut documents = converted.map_err(|why| {
            self.failures.inc();
            // As the reference says what is no API error.
            Status::said(500, "", format!("conversion webhook for {} {why}", review::kind(resource, items[0].from)))
        })?;
        if let Some(custom) = &resource.served[to].custom {
            documents.iter_mut().for_each(|document| custom.fit(document));
        }
        Ok(documents)
    }

    async fn call(
        &self,
        caller: Caller<'_>,
        resource: &Resource,
        to: usize,
        items: &[Item<'_>],
        (definition, webhook): (&Definition, &Webhook),
    ) -> Result<Vec<Value>, String> {
        let converter = Converter::of(definition, webhook);
        let failed = |why: String| format!("failed: {why}");
        let version = converter.version.ok_or_else(|| failed("no supported conversion review versions".to_owned()))?;
        let clock = &caller.ambient.clock;
        let permit = converter.breaker.enter(clock.boot()).map_err(failed)?;
        let random = caller.ambient.entropy.next_u128().to_be_bytes();
        let uid = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
        let body = review::request(resource, to, items, version, &uid);
        let seconds = PATIENCE.as_secs();
        let posted = tokio::time::timeout(PATIENCE, converter.client.post(caller, body, seconds)).await;
        let posted = posted.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
        let answer = posted
            .map_err(|why| failed(format!("Post {:?}: {why}", converter.client.url(seconds))))
            .and_then(|body| review::read(&body, version, &uid).map_err(failed))
            .and_then(|converted| review::accept(resource, to, items, converted));
        match &answer {
            Ok(_) => permit.succeeded(),
            Err(why) => {
                if permit.failed(clock.boot(), why) {
                    tracing::warn!(definition = %definition.name, why, "a conversion webhook keeps failing");
                }
            }
        }
        answer
    }
}

impl Converter {
    fn of(definition: &Definition, webhook: &Webhook) -> Arc<Self> {
        let made = definition.held.get_or_init(|| {
            let made: Arc<dyn Any + Send + Sync> = Arc::new(Self {
                client: Client::new(&webhook.client),
                breaker: Breaker::default(),
                version: ReviewVersion::first(&webhook.review_versions),
            });
            made
        });
        made.clone().downcast().expect("nobody else keeps anything there")
    }
}

/// An object that is neither kept nor can be made here.
struct Waiting {
    at: usize,
    key: Key,
    from: usize,
}

/// What one batch is made of: where the object stands, who waits for it, its document and its version.
type Led = (usize, flights::Flight, Value, usize);

fn batches(ours: Vec<Led>, objects: &[Arc<Object>]) -> Vec<Vec<Led>> {
    let mut batches: Vec<Vec<Led>> = Vec::new();
    let mut bytes = usize::MAX;
    for led in ours {
        let cost = objects[led.0].stored().len();
        match batches.last_mut().filter(|last| last.len() < BATCH.0 && bytes.saturating_add(cost) <= BATCH.1) {
            Some(last) => {
                bytes += cost;
                last.push(led);
            }
            None => {
                bytes = cost;
                batches.push(vec![led]);
            }
        }
    }
    batches
}

fn key(resource: &Resource, served: usize, object: &Object) -> Key {
    let seed = resource.definition.as_ref().map_or(0, |definition| definition.id);
    xxh3_128_with_seed(object.stored(), seed.wrapping_add(served as u64))
}

/// Makes an object that needs no webhook.
fn by_schema(resource: &Resource, served: usize, object: &Object, reading: Reading) -> Object {
    let (Reading::BySchema(from) | Reading::ByWebhook(from)) = reading else {
        unreachable!("what is served as it is is not made")
    };
    let document = resource.fitted(resource.renewed(object, from), from, served);
    sealed(resource, served, object, &document)
}

fn sealed(resource: &Resource, served: usize, object: &Object, document: &Value) -> Object {
    Draft::read(resource, served, document).seal(object.version)
}

#[cfg(test)]
mod tests;
