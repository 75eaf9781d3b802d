//! An [`Answer`] as an HTTP response, faults included.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{Either, Full};
use hyper::Response;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};

use crate::answers::{Answer, Ending};

/// What `half-body` announces.
const ANNOUNCED: usize = 100;

/// The wish to close the connection at once; hyper does so when it meets an error.
#[derive(Debug)]
pub struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for HangUp {}

pub type Reply = Response<Either<Full<Bytes>, CutBody>>;

/// Puts the answer on the wire, after its delay.
pub async fn send(answer: Answer) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
    tokio::time::sleep(answer.delay).await;
    let bytes = Bytes::from(answer.body);
    let mut response = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, answer.content_type);
    if let Some((name, value)) = answer.header {
        response = response.header(name, value);
    }
    match answer.ending {
        Ending::Whole => Ok(response.body(Either::Left(Full::new(bytes)))?),
        Ending::HalfBody => {
            let response = response.header(CONTENT_LENGTH, ANNOUNCED);
            Ok(response.body(Either::Right(CutBody::Unsent(bytes)))?)
        }
        Ending::HangUp => Err(HangUp.into()),
    }
}

/// A body that is truncated after its first bytes.
pub enum CutBody {
    Unsent(Bytes),
    Sent,
    Flushed,
}

impl Body for CutBody {
    type Data = Bytes;
    type Error = HangUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        match &mut *self {
            Self::Unsent(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Sent;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // hyper writes out what it has while a body is pending, but not when it fails.
            Self::Sent => {
                *self = Self::Flushed;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Flushed => Poll::Ready(Some(Err(HangUp))),
        }
    }
}
