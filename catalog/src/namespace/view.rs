//! What a view is, as fresh as the query asks.

use std::sync::Arc;
use std::time::Duration;

use landfast_sites::{CanonicalUri, ReadLog};

use crate::member::ViewAnswer;
use crate::namespace::Namespace;
use crate::namespace::mount::Mount;
use crate::namespace::pointer::STALE_MAX;
use crate::namespace::slot::Age;
use crate::{CatalogError, Freshness, Reading, Result, TableName, View};

/// A view as its member last gave it.
#[derive(Debug, Clone)]
pub(crate) struct KnownView {
    view: Arc<View>,
    /// Its metadata file, where that is what the member gave: it never changes.
    location: Option<CanonicalUri>,
}

impl Namespace {
    /// A view as it is now, in the sense of `reading`; none where the member has no view of this name. A table of the same
    /// name comes first: ask for it before.
    ///
    /// Where the session accepts a stale pointer, a view that was confirmed within the last 24 hours serves while its
    /// member is out of reach; the tables that it reads say how stale they are.
    ///
    /// # Errors
    /// `Unavailable` or `Stale` when the member is out of reach, `Unsupported` for a later view format, `Corrupt` for
    /// metadata that can't be read.
    pub async fn view(
        &self,
        name: &TableName,
        reading: Reading,
        log: &ReadLog,
    ) -> Result<Option<Arc<View>>> {
        let mount = self.mount(&name.catalog)?;
        let slot = mount.view_slot(&name.schema, &name.table).await;
        let (age, allowed) = match reading.freshness {
            Freshness::Strong => (Age::FromNow, Duration::ZERO),
            Freshness::Bounded(age_max) => {
                let age_max = age_max.min(STALE_MAX);
                let stale = if reading.stale_allowed {
                    STALE_MAX
                } else {
                    age_max
                };
                (Age::AtMost(age_max), stale)
            }
        };
        let answer = slot
            .get(&*self.clock, age, |last| {
                self.load_view(mount, name, last.flatten(), log)
            })
            .await;
        let error = match answer {
            Ok(known) => return Ok(known.value.map(|known| known.view)),
            Err(error) => error,
        };
        let CatalogError::Unavailable { reason, .. } = &error else {
            return Err(error);
        };
        let Some(known) = slot
            .known()
            .filter(|_| reading.freshness != Freshness::Strong)
        else {
            return Err(error);
        };
        let age = self.clock.now().saturating_duration_since(known.began);
        if age <= allowed {
            return Ok(known.value.map(|known| known.view));
        }
        Err(CatalogError::Stale {
            catalog: mount.name.clone(),
            table: name.clone(),
            reason: reason.clone(),
            age_s: age.as_secs(),
            allowed_s: allowed.as_secs(),
        })
    }

    /// A view as it was last seen, and how long ago that was; no member is asked.
    pub fn cached_view(&self, name: &TableName) -> Option<(Arc<View>, Duration)> {
        let mount = self.mounts.get(&name.catalog)?;
        let known = mount.known_view(&name.schema, &name.table)?;
        let age = self.clock.now().saturating_duration_since(known.began);
        let view = known.value?.view;
        (age <= STALE_MAX).then_some((view, age))
    }

    async fn load_view(
        &self,
        mount: &Mount,
        name: &TableName,
        last: Option<KnownView>,
        log: &ReadLog,
    ) -> Result<Option<KnownView>> {
        let levels = mount.levels(&name.schema, self.listing_age()).await?;
        let Some(answer) = mount.call(mount.member.view(&levels, name)).await? else {
            return Ok(None);
        };
        let (view, location) = match answer {
            ViewAnswer::Inline(bytes) => (self.reader.inline_view(name, bytes).await?, None),
            ViewAnswer::At(location) => {
                if let Some(last) = last
                    && last.location.as_ref() == Some(&location)
                {
                    return Ok(Some(last));
                }
                (
                    self.reader.view(name, &location, log).await?,
                    Some(location),
                )
            }
        };
        let view = Arc::new(view);
        Ok(Some(KnownView { view, location }))
    }
}
