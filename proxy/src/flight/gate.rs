//! Who calls is asked before what they send is read.
//!
//! A unary call's message is gathered whole before it gets to a handler, and may be large. So that nobody fills the memory
//! whom nobody knows, a call is recognised by its headers here; one that is refused is answered without a look at its
//! body. A Handshake needs no recognition before: it has nothing but headers that is read.
//!
//! And what a client leaves off sending is made an error here: tonic takes a stream that was reset for one that ended.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::caller::{Received, Reception};

/// The call by which somebody becomes known.
const HANDSHAKE: &str = "/arrow.flight.protocol.FlightService/Handshake";
/// The call that CloseSession is one of.
const DO_ACTION: &str = "/arrow.flight.protocol.FlightService/DoAction";
/// The longest request of who has closed their session: that it be closed again takes less.
const CLOSING_BYTES_MAX: usize = 4 * 1024;
/// How long such a request may take to come in.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(10);

/// Lets those calls through to a service whose senders are known, and says there who they are.
#[derive(Clone)]
pub(super) struct Gate<S> {
    service: S,
    reception: Reception,
}

impl<S> Gate<S> {
    pub(super) fn new(service: S, reception: Reception) -> Self {
        Self { service, reception }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready is the one that is called.
        let next = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, next);
        let reception = self.reception.clone();
        let answer = async move {
            match let_in(&reception, request).await {
                Ok(request) => service.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        };
        answer.boxed()
    }
}

async fn let_in(reception: &Reception, request: Request<Body>) -> Result<Request<Body>, Status> {
    if request.uri().path() == HANDSHAKE {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let headers = MetadataMap::from_headers(parts.headers.clone());
    let received = reception.receive(&headers, &parts.extensions).await;
    let body = match &received {
        Ok(_) => whole(body),
        Err(refused) if refused.closed.is_some() && parts.uri.path() == DO_ACTION => {
            short(body).await.ok_or_else(|| refused.status.clone())?
        }
        Err(refused) => return Err(refused.status.clone()),
    };
    parts.extensions.insert(Received(received));
    Ok(Request::from_parts(parts, body))
}

/// A body that ends only where all of it was sent. Half of what somebody puts is not what they put.
fn whole(body: Body) -> Body {
    Body::new(body.map_err(|status| match status.code() {
        Code::Cancelled => Status::aborted("the client went away before it had sent all"),
        _ => status,
    }))
}

/// The body of a request, if it is short and comes soon.
async fn short(body: Body) -> Option<Body> {
    let read = axum::body::to_bytes(axum::body::Body::new(body), CLOSING_BYTES_MAX);
    let bytes = tokio::time::timeout(CLOSING_TIME_MAX, read).await;
    Some(Body::new(axum::body::Body::from(bytes.ok()?.ok()?)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A body of which a part came before its stream was reset.
    fn half() -> Body {
        let frames = [
            Ok(Bytes::from_static(b"half")),
            Err(Status::cancelled("reset")),
        ];
        Body::new(axum::body::Body::from_stream(futures::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_body_of_which_a_part_came_ends_in_an_error_that_is_not_taken_for_its_end() {
        assert_eq!(
            half().collect().await.unwrap_err().code(),
            Code::Cancelled,
            "which tonic takes for the end"
        );
        assert_eq!(
            whole(half()).collect().await.unwrap_err().code(),
            Code::Aborted
        );
    }
}
