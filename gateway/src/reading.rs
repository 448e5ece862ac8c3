//! Custom objects in the version that a client wants them in ([`shards::conversion`]), before they are rendered.

use std::sync::Arc;

use api::crd::Reading;
use api::{Object, Resource, Status};
use shards::outside::Caller;
use smol_str::SmolStr;

use crate::Inner;
use crate::relay::Form;

impl Inner {
    /// This gateway, on behalf of a logical cluster.
    pub(crate) fn caller<'a>(&'a self, cluster: &'a SmolStr) -> Caller<'a> {
        Caller {
            topology: Some(&self.topology),
            registry: &self.registry,
            ambient: &self.ambient,
            allowed: &self.config.webhook_allow,
            cluster,
        }
    }

    /// Objects in a served version, in the same order.
    pub(crate) async fn read_in(
        &self,
        cluster: &SmolStr,
        resource: &Resource,
        served: usize,
        objects: Vec<Arc<Object>>,
    ) -> Result<Vec<Arc<Object>>, Status> {
        self.conversions.objects(self.caller(cluster), resource, served, objects).await
    }
}

/// Events of one custom kind on their way to a watcher.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) gateway: Arc<Inner>,
    pub(crate) cluster: SmolStr,
    pub(crate) resource: Arc<Resource>,
    pub(crate) served: usize,
}

impl Reader {
    /// Whether something has to be done before they can be sent.
    pub(crate) fn has_work(&self, forms: &[Arc<Form>]) -> bool {
        self.resource.is_custom() && forms.iter().any(|form| self.is_pending(form))
    }

    fn is_pending(&self, form: &Form) -> bool {
        !form.is_read() && !matches!(self.resource.reading(form.source(), self.served), Ok(Reading::AsItIs))
    }

    /// Does it. Whoever waits for the same event finds it done.
    pub(crate) async fn read(self, forms: Vec<Arc<Form>>) -> Result<(), Status> {
        let pending: Vec<Arc<Form>> = forms.into_iter().filter(|form| self.is_pending(form)).collect();
        let sources = pending.iter().map(|form| form.source().clone()).collect();
        let read = self.gateway.read_in(&self.cluster, &self.resource, self.served, sources).await?;
        pending.iter().zip(read).for_each(|(form, object)| form.set_read(object));
        Ok(())
    }
}
