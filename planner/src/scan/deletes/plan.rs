//! Which delete files each data file needs, placed like data files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use landfast_catalog::{
    CatalogError, DataFile, DeleteContent, DeleteFile, DeleteIndex, DeleteList, FileDeletes,
};
use landfast_sites::{CanonicalUri, SiteId};

use super::{DeleteSource, KeyColumns, KeyDeletes, KeySetId, LakeDeletes, VectorBlob};
use crate::scan::placing::Placer;

/// The delete files of a table, where it has any.
#[derive(Debug, Clone, Default)]
pub(in crate::scan) struct TableDeletes(Option<Arc<DeleteIndex>>);

impl TableDeletes {
    pub(in crate::scan) fn new(index: Arc<DeleteIndex>) -> Self {
        Self(Some(index).filter(|index| !index.is_empty()))
    }

    /// The columns of the keys of equality deletes, ascending by field id.
    pub(in crate::scan) fn key_columns(&self) -> Vec<i32> {
        let index = self.0.as_ref();
        index.map(|index| index.key_columns()).unwrap_or_default()
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
        columns: &mut KeyColumns<'_>,
    ) -> Result<(Vec<Option<Arc<LakeDeletes>>>, PlannedReads)> {
        let Some(index) = &self.0 else {
            return Ok((vec![None; files.len()], PlannedReads::default()));
        };
        let found = files.iter().map(|file| index.of(file));
        let found: Result<Vec<FileDeletes<'_>>, CatalogError> = found.collect();
        let found = found.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut planner = DeletePlanner::new(index, placer, columns);
        for list in found.iter().flat_map(|deletes| &deletes.keys) {
            let from = planner.keys_from.entry(list.list).or_insert(list.from);
            *from = list.from.min(*from);
        }
        let each = files.iter().zip(&found);
        let deletes: Result<_> = each.map(|(file, found)| planner.of(file, found)).collect();
        Ok((deletes?, planner.reads))
    }
}

/// Describes what is deleted from the files of one scan. Files that share delete files share their description.
#[derive(Debug)]
struct DeletePlanner<'a, 't> {
    index: &'a DeleteIndex,
    placer: &'a Placer<'a>,
    columns: &'a mut KeyColumns<'t>,
    /// Where each list of equality deletes begins for the oldest of the data files: all share one set of keys.
    keys_from: HashMap<u32, u32>,
    keys: HashMap<u32, Arc<KeyDeletes>>,
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

impl<'a, 't> DeletePlanner<'a, 't> {
    fn new(
        index: &'a DeleteIndex,
        placer: &'a Placer<'a>,
        columns: &'a mut KeyColumns<'t>,
    ) -> Self {
        Self {
            index,
            placer,
            columns,
            keys_from: HashMap::new(),
            keys: HashMap::new(),
            lists: HashMap::new(),
            sources: HashMap::new(),
            reads: PlannedReads::default(),
        }
    }

    /// What is deleted from a data file; none where nothing is.
    ///
    /// # Errors
    /// The table's delete files contradict each other, or no site is the origin of one of them.
    fn of(
        &mut self,
        data: &DataFile,
        deletes: &FileDeletes<'_>,
    ) -> Result<Option<Arc<LakeDeletes>>> {
        if deletes.is_empty() {
            return Ok(None);
        }
        let vector = deletes.vector.map(|file| self.vector(file)).transpose()?;
        let positions = deletes.positions.iter();
        let positions: Result<_> = positions.map(|list| self.list(*list)).collect();
        let keys: Result<_> = deletes.keys.iter().map(|list| self.keys(*list)).collect();
        Ok(Some(Arc::new(LakeDeletes {
            vector: vector.flatten(),
            positions: positions?,
            keys: keys?,
            sequence_number: data.sequence_number,
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

    fn keys(&mut self, list: DeleteList) -> Result<Arc<KeyDeletes>> {
        if let Some(known) = self.keys.get(&list.list) {
            return Ok(Arc::clone(known));
        }
        let from = self.keys_from.get(&list.list).copied();
        let all = DeleteList {
            from: from.unwrap_or(list.from),
            ..list
        };
        let files = self.list(all)?;
        let shape = self.columns.shape(self.index.field_ids(list))?;
        let deletes = Arc::new(KeyDeletes {
            columns: shape.columns,
            set: Arc::new(KeySetId::new(shape.asked, &files)),
            files,
        });
        self.keys.insert(list.list, Arc::clone(&deletes));
        Ok(deletes)
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
            format: file.format,
            size_bytes: file.id.size.unwrap_or_default(),
            sequence_number: file.sequence_number,
            paths: file.paths().map(|(from, to)| (from.into(), to.into())),
            route: placed.route,
        });
        self.sources.insert(key, Arc::clone(&source));
        Ok(source)
    }
}
