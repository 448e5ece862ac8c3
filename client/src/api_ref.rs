//! Which resource a call is about.

/// A served resource: enough to build its paths. Clients need no discovery for what they know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiRef {
    /// Empty for the core group.
    pub group: &'static str,
    /// `v1`
    pub version: &'static str,
    /// `pods`
    pub plural: &'static str,
    /// `Pod`
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl ApiRef {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the collection (of one namespace, or of all where `namespace` is empty).
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural)
        } else {
            format!("{root}/{}/{}", self.version, self.plural)
        }
    }

    /// The path of one object, or of its subresource where that is not empty.
    pub fn object(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = self.collection(namespace);
        for part in [name, subresource] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }
}

/// The resources that Shardplane's own clients use.
pub mod known {
    use super::ApiRef;

    macro_rules! rows {
        ($($name:ident = $group:literal $version:literal $plural:literal $kind:literal $namespaced:literal;)*) => {
            $(
                #[doc = concat!($plural, " of ", $group, "/", $version)]
                pub const $name: ApiRef = ApiRef {
                    group: $group, version: $version, plural: $plural, kind: $kind, namespaced: $namespaced,
                };
            )*
        };
    }

    rows! {
        NAMESPACES = "" "v1" "namespaces" "Namespace" false;
        NODES = "" "v1" "nodes" "Node" false;
        PODS = "" "v1" "pods" "Pod" true;
        SERVICES = "" "v1" "services" "Service" true;
        SERVICE_ACCOUNTS = "" "v1" "serviceaccounts" "ServiceAccount" true;
        CLUSTER_ROLES = "rbac.authorization.k8s.io" "v1" "clusterroles" "ClusterRole" false;
        CONFIG_MAPS = "" "v1" "configmaps" "ConfigMap" true;
        SECRETS = "" "v1" "secrets" "Secret" true;
        EVENTS = "" "v1" "events" "Event" true;
        LEASES = "coordination.k8s.io" "v1" "leases" "Lease" true;
        DEPLOYMENTS = "apps" "v1" "deployments" "Deployment" true;
        REPLICA_SETS = "apps" "v1" "replicasets" "ReplicaSet" true;
        ENDPOINT_SLICES = "discovery.k8s.io" "v1" "endpointslices" "EndpointSlice" true;
        PRIORITY_CLASSES = "scheduling.k8s.io" "v1" "priorityclasses" "PriorityClass" false;
    }
}
