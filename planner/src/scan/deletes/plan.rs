//! Which delete files each data file needs, placed like data files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use datafusion::error::DataFusionError;
use landfast_catalog::{DataFile, DeleteContent, DeleteFile, DeleteIndex, DeleteList};
use landfast_sites::{CanonicalUri, SiteId};

use super::{DeleteSource, LakeDeletes, VectorBlob};
use crate::scan::placing::Placer;

/// The delete files of a table, where it has any.
#[derive(Debug, Clone, Default)]
pub(in crate::scan) struct TableDeletes(Option<Arc<DeleteIndex>>);

impl TableDeletes {
    pub(in crate::scan) fn new(index: Arc<DeleteIndex>) -> Self {
        Self(Some(index).filter(|index| !index.is_empty()))
    }

    /// How many rows of a file are there for sure.
    pub(in crate::scan) fn rows_left(&self, data: &DataFile) -> u64 {
        let Some(index) = &self.0 else {
            return data.rows;
        };
        match index.of(data) {
            Ok(deletes) if deletes.is_empty() => data.rows,
            Ok(deletes) if deletes.positions.is_empty() && deletes.keys.is_empty() => {
                let gone = deletes.vector.map_or(data.rows, |vector| vector.rows);
                data.rows.saturating_sub(gone)
            }
            _ => 0,
        }
    }

    /// What is deleted from each of the files, and what is planned to be read for that.
    ///
    /// # Errors
    /// The table's delete files contradict each other, or no site is the origin of one of them.
    pub(in crate::scan) fn of(
        &self,
        files: &[&DataFile],
        placer: &Placer<'_>,
    ) -> Result<(Vec<Option<Arc<LakeDeletes>>>, PlannedReads)> {
        let Some(index) = &self.0 else {
            return Ok((vec![None; files.len()], PlannedReads::default()));
        };
        let mut planner = DeletePlanner::new(index, placer);
        let deletes: Result<_> = files.iter().map(|file| planner.of(file)).collect();
        Ok((deletes?, planner.reads))
    }
}

/// Describes what is deleted from the files of one scan. Files that share delete files share their description.
#[derive(Debug)]
struct DeletePlanner<'a> {
    index: &'a DeleteIndex,
    placer: &'a Placer<'a>,
    lists: HashMap<DeleteList, Arc<[Arc<DeleteSource>]>>,
    /// By file, and for deletion vectors by where they lie in it.
    sources: HashMap<(CanonicalUri, u64), Arc<DeleteSource>>,
    reads: PlannedReads,
}

/// What a scan is planned to read of delete files.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::scan) struct PlannedReads {
    /// Delete files; each deletion vector counts as one.
    pub(in crate::scan) files: u64,
    /// By the first site of each: files, bytes and US dollars.
    pub(in crate::scan) sites: BTreeMap<SiteId, (u64, u64, f64)>,
}

impl<'a> DeletePlanner<'a> {
    fn new(index: &'a DeleteIndex, placer: &'a Placer<'a>) -> Self {
        Self {
            index,
            placer,
            lists: HashMap::new(),
            sources: HashMap::new(),
            reads: PlannedReads::default(),
        }
    }

    /// What is deleted from a data file; none where nothing is.
    ///
    /// # Errors
    /// The table's delete files contradict each other, or no site is the origin of one of them.
    fn of(&mut self, data: &DataFile) -> Result<Option<Arc<LakeDeletes>>> {
        let deletes = self
            .index
            .of(data)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        if deletes.is_empty() {
            return Ok(None);
        }
        if !deletes.keys.is_empty() {
            return plan_err!(
                "rows of {} are deleted by equality delete files, which Landfast can't apply",
                data.id.uri
            );
        }
        let vector = deletes.vector.map(|file| self.vector(file)).transpose()?;
        let positions = deletes.positions.iter();
        let positions: Result<_> = positions.map(|list| self.list(*list)).collect();
        Ok(Some(Arc::new(LakeDeletes {
            vector: vector.flatten(),
            positions: positions?,
        })))
    }

    fn vector(&mut self, file: &DeleteFile) -> Result<Option<VectorBlob>> {
        let DeleteContent::Vector { offset, length, .. } = &file.content else {
            return Ok(None);
        };
        Ok(Some(VectorBlob {
            file: self.source(
                file,
                *offset,
                (*length).min(file.id.size.unwrap_or_default()),
            )?,
            offset: *offset,
            length: *length,
            rows: file.rows,
        }))
    }

    fn list(&mut self, list: DeleteList) -> Result<Arc<[Arc<DeleteSource>]>> {
        if let Some(known) = self.lists.get(&list) {
            return Ok(Arc::clone(known));
        }
        let index = self.index;
        let sources: Result<Arc<[_]>> = index
            .list(list)
            .map(|file| self.source(file, 0, file.id.size.unwrap_or_default()))
            .collect();
        let sources = sources?;
        self.lists.insert(list, Arc::clone(&sources));
        Ok(sources)
    }

    fn source(&mut self, file: &DeleteFile, offset: u64, bytes: u64) -> Result<Arc<DeleteSource>> {
        let key = (file.id.uri.clone(), offset);
        if let Some(known) = self.sources.get(&key) {
            return Ok(Arc::clone(known));
        }
        let placed = self.placer.place_bytes(&file.id, bytes)?;
        self.reads.files += 1;
        if let Some(site) = placed.route.first() {
            let (files, sum, usd) = self.reads.sites.entry(site.clone()).or_default();
            *files += 1;
            *sum += placed.bytes;
            *usd += placed.usd;
        }
        let source = Arc::new(DeleteSource {
            uri: file.id.uri.clone(),
            size_bytes: file.id.size.unwrap_or_default(),
            sequence_number: file.sequence_number,
            route: placed.route,
        });
        self.sources.insert(key, Arc::clone(&source));
        Ok(source)
    }
}
