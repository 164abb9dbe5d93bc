//! One attempt to take one batch from one site.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore};

use crate::coalesce;
use crate::failure::Failure;
use crate::rules::Place;
use crate::sites::Site;
use crate::tally::Meter;

/// Requests of one batch that are under way at once.
const BATCH_REQUESTS_AT_ONCE: usize = 16;

/// The most that a file which is read whole may have: metadata.json, manifest lists and manifests are far smaller.
pub(crate) const WHOLE_BYTES_MAX: u64 = 1 << 30;

/// Whether the site was given up on since an attempt at it began.
pub(crate) type Ejected<'a> = &'a (dyn Fn() -> bool + Sync);

/// What is wanted of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Want<'a> {
    /// These ranges.
    Ranges(&'a [Range<u64>]),
    /// The last bytes of a file whose size nobody records.
    Suffix(u64),
    /// All of a file whose size nobody records.
    Whole,
}

impl Want<'_> {
    /// How many bytes a site will be asked for, where that is known.
    pub(crate) fn bytes(self, size: Option<u64>, gap_bytes: u64) -> Option<u64> {
        match self {
            Self::Ranges(ranges) => {
                let requests = coalesce::requests(ranges, gap_bytes);
                Some(
                    requests
                        .iter()
                        .map(|request| request.end - request.start)
                        .sum(),
                )
            }
            Self::Suffix(bytes) => Some(bytes),
            Self::Whole => size,
        }
    }
}

/// What a site gave.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) ranges: Vec<Bytes>,
    /// The shortest time to a first byte among the requests.
    pub(crate) first_byte: Option<Duration>,
}

/// The body of one request.
struct Body {
    bytes: Bytes,
    first_byte: Duration,
    /// The object's ETag, where the store has one; comparable within one batch at one site only.
    e_tag: Option<String>,
}

impl Site {
    /// Takes a batch, whole or not at all.
    pub(crate) async fn take(
        &self,
        place: &Place,
        size: Option<u64>,
        want: Want<'_>,
        (gap_bytes, others): (u64, Option<Ejected<'_>>),
        meter: &Meter,
    ) -> Result<Taken, Failure> {
        let store = self
            .stores
            .bucket(&place.bucket)
            .map_err(Failure::Unopened)?;
        let object = Object {
            site: self,
            store,
            path: &place.path,
            size,
            others,
            meter,
        };
        let taken = match want {
            Want::Ranges(ranges) => object.ranges(ranges, gap_bytes).await,
            Want::Whole => object.whole().await,
            Want::Suffix(bytes) => {
                let size = object.head().await?;
                let object = Object {
                    size: Some(size),
                    ..object
                };
                let range = size.saturating_sub(bytes)..size;
                return object.ranges(std::slice::from_ref(&range), gap_bytes).await;
            }
        };
        match taken {
            Err(Failure::Broken(text)) => Err(object.why_broken(text).await),
            other => other,
        }
    }
}

/// One object during one attempt.
struct Object<'a> {
    site: &'a Site,
    store: Arc<dyn ObjectStore>,
    path: &'a Path,
    size: Option<u64>,
    /// Where another site can be asked instead.
    others: Option<Ejected<'a>>,
    meter: &'a Meter,
}

impl Object<'_> {
    async fn ranges(&self, ranges: &[Range<u64>], gap_bytes: u64) -> Result<Taken, Failure> {
        let gap_bytes = match self.site.stores.is_directory() {
            // In an open file a seek costs less than nearly any gap.
            true => coalesce::GAP_BYTES_MIN,
            false => gap_bytes,
        };
        let requests = coalesce::requests(ranges, gap_bytes);
        let bodies: Vec<Body> = if self.site.stores.is_directory() {
            self.read_file(&requests).await?
        } else if let [only] = requests.as_slice() {
            vec![self.get(only.clone()).await?]
        } else {
            stream::iter(requests.iter().cloned())
                .map(|request| self.get(request))
                .buffered(BATCH_REQUESTS_AT_ONCE)
                .try_collect()
                .await?
        };
        let replaced = |pair: &[Body]| pair[0].e_tag != pair[1].e_tag;
        if bodies.windows(2).any(replaced) {
            return Err(Failure::Broken(
                "the object was replaced while it was read".into(),
            ));
        }
        let first_byte = bodies.iter().map(|b| b.first_byte).min();
        let bodies: Vec<Bytes> = bodies.into_iter().map(|b| b.bytes).collect();
        Ok(Taken {
            ranges: coalesce::assemble(ranges, &requests, &bodies),
            first_byte,
        })
    }

    async fn whole(&self) -> Result<Taken, Failure> {
        let _turn = self.turn().await?;
        self.meter.request();
        let started = Instant::now();
        let result = self
            .within(self.store.get_opts(self.path, GetOptions::default()))
            .await?;
        let size = result.meta.size;
        if size > WHOLE_BYTES_MAX {
            return Err(Failure::Rejected(format!(
                "it has {size} bytes, more than {WHOLE_BYTES_MAX}"
            )));
        }
        let body = self.receive(result, size, started).await?;
        Ok(Taken {
            ranges: vec![body.bytes],
            first_byte: Some(body.first_byte),
        })
    }

    async fn get(&self, range: Range<u64>) -> Result<Body, Failure> {
        let _turn = self.turn().await?;
        self.meter.request();
        let started = Instant::now();
        let options = GetOptions::new().with_range(Some(range.clone()));
        let result = self.within(self.store.get_opts(self.path, options)).await?;
        self.verify(result.meta.size)?;
        if result.range != range {
            return Err(Failure::Broken(format!(
                "bytes {} to {} came where {} to {} were asked for",
                result.range.start, result.range.end, range.start, range.end
            )));
        }
        let e_tag = result.meta.e_tag.clone();
        let body = self.receive(result, range.end - range.start, started);
        Ok(Body {
            e_tag,
            ..body.await?
        })
    }

    async fn receive(
        &self,
        result: GetResult,
        length: u64,
        started: Instant,
    ) -> Result<Body, Failure> {
        if let GetResultPayload::File(file, _) = result.payload {
            return self.receive_file(file, result.range, started).await;
        }
        let mut chunks = result.into_stream();
        let mut first_byte = None;
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut received = 0u64;
        while let Some(chunk) = self.within_chunk(chunks.next()).await? {
            first_byte.get_or_insert_with(|| {
                let after = started.elapsed();
                self.meter.first_byte(after);
                after
            });
            received += chunk.len() as u64;
            self.meter.received(chunk.len() as u64);
            if received > length {
                return Err(Failure::Broken(format!(
                    "more than the {length} bytes asked for came"
                )));
            }
            // A body in one chunk, as small ones are, is not copied.
            if first.is_empty() && rest.is_empty() {
                first = chunk;
                continue;
            }
            if rest.is_empty() {
                rest.reserve(length as usize);
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&chunk);
        }
        if received != length {
            return Err(Failure::Broken(format!(
                "the body broke off after {received} of {length} bytes"
            )));
        }
        let bytes = if rest.is_empty() {
            first
        } else {
            rest.freeze()
        };
        Ok(Body {
            bytes,
            first_byte: first_byte.unwrap_or_else(|| started.elapsed()),
            e_tag: None,
        })
    }

    async fn receive_file(
        &self,
        file: File,
        range: Range<u64>,
        started: Instant,
    ) -> Result<Body, Failure> {
        let mut bodies = self.read_open(file, vec![range], started).await?;
        bodies
            .pop()
            .ok_or_else(|| Failure::Broken("nothing was read".into()))
    }

    /// All requests from one open file: one hop to a blocking thread rather than one per range, and surely one object.
    async fn read_file(&self, requests: &[Range<u64>]) -> Result<Vec<Body>, Failure> {
        let _turn = self.turn().await?;
        requests.iter().for_each(|_| self.meter.request());
        let started = Instant::now();
        let result = self
            .within(self.store.get_opts(self.path, GetOptions::default()))
            .await?;
        self.verify(result.meta.size)?;
        if let Some(beyond) = requests.iter().find(|r| r.end > result.meta.size) {
            return Err(Failure::Broken(format!(
                "it ends at byte {}, before {}",
                result.meta.size, beyond.end
            )));
        }
        match result.payload {
            GetResultPayload::File(file, _) => {
                self.read_open(file, requests.to_vec(), started).await
            }
            GetResultPayload::Stream(_) => {
                Err(Failure::Broken("the directory gave no file".into()))
            }
        }
    }

    async fn read_open(
        &self,
        mut file: File,
        ranges: Vec<Range<u64>>,
        started: Instant,
    ) -> Result<Vec<Body>, Failure> {
        let read = tokio::task::spawn_blocking(move || {
            let one = |range: Range<u64>| {
                let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
                file.seek(SeekFrom::Start(range.start))?;
                (&mut file)
                    .take(range.end - range.start)
                    .read_to_end(&mut bytes)?;
                let first_byte = started.elapsed();
                Ok((Bytes::from(bytes), first_byte, range))
            };
            ranges
                .into_iter()
                .map(one)
                .collect::<std::io::Result<Vec<_>>>()
        });
        let within = self.site.timeouts.request;
        let read = match tokio::time::timeout(within, read).await {
            Err(_) => return Err(Failure::timed_out(within)),
            Ok(Err(_)) => return Err(Failure::Broken("the reading thread ended".into())),
            Ok(Ok(read)) => {
                read.map_err(|e| Failure::Broken(format!("cannot be read: {}", e.kind())))?
            }
        };
        let mut bodies = Vec::with_capacity(read.len());
        for (bytes, first_byte, range) in read {
            self.meter.received(bytes.len() as u64);
            self.meter.first_byte(first_byte);
            if bytes.len() as u64 != range.end - range.start {
                return Err(Failure::Broken(format!(
                    "the file ends within bytes {} to {}",
                    range.start, range.end
                )));
            }
            bodies.push(Body {
                bytes,
                first_byte,
                e_tag: None,
            });
        }
        Ok(bodies)
    }

    async fn head(&self) -> Result<u64, Failure> {
        let _turn = self.turn().await?;
        self.meter.request();
        let options = GetOptions::new().with_head(true);
        Ok(self
            .within(self.store.get_opts(self.path, options))
            .await?
            .meta
            .size)
    }

    /// A store that refuses a range may do so because the object is shorter than recorded: that must be known, so
    /// that the object is quarantined rather than asked for again by every query.
    async fn why_broken(&self, text: String) -> Failure {
        if let Some(expected) = self.size
            && let Ok(found) = self.head().await
            && found != expected
        {
            return Failure::WrongSize { expected, found };
        }
        Failure::Broken(text)
    }

    fn verify(&self, found: u64) -> Result<(), Failure> {
        match self.size {
            Some(expected) if expected != found => Err(Failure::WrongSize { expected, found }),
            _ => Ok(()),
        }
    }

    /// Waits for a turn: where no other site can be asked for as long as it takes, as each request has its time-out.
    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let acquired = self.site.turns.acquire();
        let turn = match self.others {
            None => acquired.await,
            Some(ejected) => {
                let within = self.site.timeouts.request;
                let Ok(turn) = tokio::time::timeout(within, acquired).await else {
                    let text = format!("other reads had all of its turns for {within:?}");
                    return Err(Failure::Waited(text));
                };
                if ejected() {
                    let text = "it stopped answering while this read waited for its turn";
                    return Err(Failure::Waited(text.into()));
                }
                turn
            }
        };
        turn.map_err(|_| Failure::Broken("the site is closed".into()))
    }

    /// The HTTP client's own time-outs cover a request; this one covers what has none, such as a hanging mount.
    async fn within<T>(
        &self,
        answer: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        let within = self.site.timeouts.request;
        match tokio::time::timeout(within, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::timed_out(within)),
        }
    }

    async fn within_chunk(
        &self,
        chunk: impl Future<Output = Option<object_store::Result<Bytes>>>,
    ) -> Result<Option<Bytes>, Failure> {
        self.within(async { chunk.await.transpose() }).await
    }
}
