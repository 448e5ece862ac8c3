//! HTTPS to any Kubernetes API, by hyper and rustls.
