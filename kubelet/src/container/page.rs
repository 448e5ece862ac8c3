//! What a simulated port answers: HTTP, with a page that says what it is, and an echo of what was asked elsewhere.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Place;

/// Bytes of a body that are counted.
const BODY: usize = 16 << 20;

/// Serves one connection to a container's port.
pub(crate) async fn serve<I>(io: I, place: &Place, container: &str, port: u16) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let Place { namespace, pod, node } = place;
    let title = format!("container {container} of pod {namespace}/{pod} on {node}, port {port}");
    let service = service_fn(|request: Request<Incoming>| {
        let title = &title;
        async move { Ok::<_, Infallible>(answer(request, title).await) }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).await
}

async fn answer(request: Request<Incoming>, title: &str) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let (kind, text) = match parts.uri.path() {
        "/" => (
            "text/html; charset=utf-8",
            format!(
                "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>Simulated</h1>\
                 <p>This is {title}. Nothing runs in it. <a href=\"/echo\">Ask for something else</a>.</p></body></html>\n"
            ),
        ),
        _ => {
            let length = Limited::new(body, BODY).collect().await.map(|body| body.to_bytes().len());
            let length = length.map_or_else(|_| "too many".to_owned(), |length| length.to_string());
            (
                "text/plain; charset=utf-8",
                format!("{} {} with {length} bytes, asked of {title}\n", parts.method, parts.uri),
            )
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
