//! Parquet's reads, turned into routed reads.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::{Result, internal_err};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::PartitionedFile;
use datafusion_datasource_parquet::{ParquetFileMetrics, ParquetFileReaderFactory};
use futures::FutureExt;
use futures::future::BoxFuture;
use landfast_sites::FileId;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use super::ScanContext;
use super::blooms::ReadAhead;
use super::footers::{FileAtSites, Footer};
use super::source::LakeFile;

/// Makes readers that take each file from the sites its [`LakeFile`] names.
#[derive(Debug, Clone)]
pub(super) struct RoutedReaders {
    pub(super) context: Arc<ScanContext>,
}

impl ParquetFileReaderFactory for RoutedReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(lake) = file.extension::<Arc<LakeFile>>() else {
            return internal_err!("{} was not planned by Landfast", file.object_meta.location);
        };
        Ok(Box::new(RoutedReader {
            context: Arc::clone(&self.context),
            file: Arc::clone(lake),
            id: FileId::new(lake.uri.clone(), Some(lake.size_bytes)),
            footer: file.extension::<Arc<Footer>>().cloned(),
            ahead: file.extension::<Arc<ReadAhead>>().cloned(),
            whole: None,
            asked_for_whole: false,
            metrics: ParquetFileMetrics::new(
                partition,
                file.object_meta.location.as_ref(),
                metrics,
            ),
        }))
    }
}

/// One open file.
struct RoutedReader {
    context: Arc<ScanContext>,
    file: Arc<LakeFile>,
    id: FileId,
    footer: Option<Arc<Footer>>,
    /// What was read before the file was opened.
    ahead: Option<Arc<ReadAhead>>,
    /// All of it, where it is small and came with the footer.
    whole: Option<Bytes>,
    asked_for_whole: bool,
    metrics: ParquetFileMetrics,
}

impl RoutedReader {
    fn at_sites(&self) -> FileAtSites<'_> {
        self.file.at_sites(&self.id, &self.context)
    }
}

impl AsyncFileReader for RoutedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let mut read = self.get_byte_ranges(vec![range.clone()]).await?;
            read.pop()
                .ok_or_else(|| ParquetError::EOF(format!("nothing came back for bytes {range:?}")))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            if !self.asked_for_whole {
                self.whole = self.context.footers.take_whole(&self.at_sites()).await;
                self.asked_for_whole = true;
            }
            let known = self.whole.as_ref().and_then(|whole| slices(whole, &ranges));
            let known = known.or_else(|| {
                let ahead = self.ahead.as_ref()?;
                ranges.iter().map(|range| ahead.get(range)).collect()
            });
            let read = match known {
                Some(read) => read,
                None => self.at_sites().read(&ranges).await?,
            };
            self.metrics
                .bytes_scanned
                .add(read.iter().map(Bytes::len).sum());
            Ok(read)
        }
        .boxed()
    }

    /// The cached footer, page index included, whatever was asked for: it is read once for all queries.
    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            if self.footer.is_none() {
                self.footer = Some(self.context.footers.get(&self.at_sites()).await?);
            }
            match &self.footer {
                Some(footer) => Ok(Arc::clone(&footer.metadata)),
                None => Err(ParquetError::General(
                    "the footer was not loaded".to_owned(),
                )),
            }
        }
        .boxed()
    }
}

/// The ranges' bytes; none where one lies outside.
fn slices(whole: &Bytes, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
    let parts = ranges.iter().map(|range| {
        let (from, to): (usize, usize) = (range.start.try_into().ok()?, range.end.try_into().ok()?);
        (from <= to && to <= whole.len()).then(|| whole.slice(from..to))
    });
    parts.collect()
}
