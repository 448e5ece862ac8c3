//! The protocols in which `kubectl exec`, `attach` and `port-forward` speak to a kubelet: SPDY/3.1 ([`spdy`]), WebSocket
//! ([`websocket`]), the standard streams of a command over either of them ([`remote`]), and SPDY within a WebSocket
//! ([`websocket::Tunnel`]).
//!
//! Gateways speak them to clients on one side and to kubelets on the other; simulated kubelets serve them. Nothing here knows
//! either: it works on whatever carries bytes. Start reading at [`remote::Remote`] and [`spdy::Session`].
//!
//! Invariant: what a peer sends and nobody reads is bounded (a session holds a megabyte, a WebSocket one message), and then the
//! peer is held up.

pub mod remote;
pub mod spdy;
pub mod websocket;
