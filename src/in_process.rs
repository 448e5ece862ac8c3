//! The transport within one process: a call into the gateway, without sockets and TLS, as somebody.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use client::{BodyStream, Transport, TransportError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use gateway::Gateway;
use shards::service::UserInfo;

/// Calls into a gateway of this process under one identity.
pub(crate) struct InProcess {
    gateway: Arc<Gateway>,
    user: Arc<UserInfo>,
}

impl InProcess {
    /// A transport for `user`, who is in system:masters besides `groups`: finer rules come with RBAC.
    pub(crate) fn as_user(gateway: &Arc<Gateway>, user: &str, groups: &[&str]) -> Arc<dyn Transport> {
        let groups = groups.iter().chain(&["system:masters", "system:authenticated"]).map(|group| (*group).to_owned());
        let user = UserInfo { name: user.to_owned(), groups: groups.collect(), ..UserInfo::default() };
        Arc::new(Self { gateway: gateway.clone(), user: Arc::new(user) })
    }
}

impl Transport for InProcess {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'static, Result<http::Response<BodyStream>, TransportError>> {
        let (gateway, user) = (self.gateway.clone(), self.user.clone());
        Box::pin(async move {
            let answer = gateway.handle(request.map(Body::from), Some(user)).await;
            Ok(answer.map(|body| body.into_data_stream().map(|chunk| chunk.map_err(broken)).boxed()))
        })
    }
}

fn broken(error: axum::Error) -> TransportError {
    TransportError { message: format!("the answer broke off: {error}"), sent: true }
}
