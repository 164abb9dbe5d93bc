//! Looking through many manifests without holding many of them.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use landfast_sites::ReadLog;

use super::cache::Entry;
use super::{MANIFESTS_AT_ONCE, MetadataReader, manifest_key, stopped};
use crate::{ManifestFiles, ManifestSummary, Result, TableSnapshot};

/// Cached manifests are looked at together until they have so many files, so that a thread is worth waking.
const FILES_AT_ONCE: usize = 16 * 1024;

/// Manifests to look at in one go.
enum Group<'a> {
    Cached(Vec<Arc<ManifestFiles>>),
    ToRead(&'a ManifestSummary),
}

impl MetadataReader {
    /// Gives the files of each manifest to `look`, on threads that may block, as many at once as there are processors;
    /// and what that makes of them to `take`, in the manifests' order, until it breaks off. A manifest is let go of once
    /// it was looked at: however many there are, few are held.
    pub(crate) async fn visit<T, L>(
        &self,
        table: &TableSnapshot,
        manifests: &[ManifestSummary],
        log: &ReadLog,
        look: &Arc<L>,
        take: &mut (dyn FnMut(T) -> ControlFlow<()> + Send),
    ) -> Result<()>
    where
        T: Send + 'static,
        L: Fn(&ManifestFiles) -> T + Send + Sync + 'static,
    {
        let mut rest: VecDeque<&ManifestSummary> = manifests.iter().collect();
        let mut under_way = FuturesOrdered::new();
        loop {
            while under_way.len() < MANIFESTS_AT_ONCE
                && let Some(group) = self.next_group(&mut rest, log)
            {
                under_way.push_back(self.look_at(table, group, log, Arc::clone(look)));
            }
            let Some(looked) = under_way.next().await else {
                return Ok(());
            };
            for one in looked? {
                if take(one).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn next_group<'a>(
        &self,
        rest: &mut VecDeque<&'a ManifestSummary>,
        log: &ReadLog,
    ) -> Option<Group<'a>> {
        let (mut cached, mut files) = (Vec::new(), 0);
        while files < FILES_AT_ONCE
            && let Some(next) = rest.front()
        {
            match self.cache.hit(&manifest_key(next), log) {
                Some(Entry::Manifest(found)) => {
                    files += found.value.len().max(1);
                    cached.push(found.value);
                    rest.pop_front();
                }
                _ if cached.is_empty() => return rest.pop_front().map(Group::ToRead),
                _ => break,
            }
        }
        (!cached.is_empty()).then_some(Group::Cached(cached))
    }

    async fn look_at<T, L>(
        &self,
        table: &TableSnapshot,
        group: Group<'_>,
        log: &ReadLog,
        look: Arc<L>,
    ) -> Result<Vec<T>>
    where
        T: Send + 'static,
        L: Fn(&ManifestFiles) -> T + Send + Sync + 'static,
    {
        let manifests = match group {
            Group::Cached(manifests) => manifests,
            Group::ToRead(summary) => vec![self.manifest(&table.name, summary, log).await?],
        };
        let look = move || manifests.iter().map(|files| look(files)).collect();
        let looked = self.blocking(look).await;
        looked.ok_or_else(|| stopped(&table.name))
    }
}
