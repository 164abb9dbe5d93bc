//! [`DeleteIndex`]: which delete files apply to a data file, looked up by hash.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::PrimitiveType;
use landfast_sites::CanonicalUri;

use super::partition::{partition_key, unpartitioned_specs};
use super::reach::Reach;
use super::{DeleteContent, DeleteFile};
use crate::{CatalogError, DataFile, Result, TableName, TableSnapshot};

/// Of at most so many equality delete files, each is compared with the data file; of more, all of them at once.
const COMPARED_ONE_BY_ONE: usize = 64;

/// What an entry of a map costs, with its key, about.
const MAP_ENTRY_BYTES: usize = 256;

/// The delete files of a snapshot, or of those of its manifests that a query needs, by what they may apply to.
///
/// The rules are Iceberg's ("Scan Planning" in the specification), and equality deletes whose keys a data file can't have
/// by its bounds are left out besides. A data file is looked up by its path and its
/// partition: what that costs does not grow with the number of delete files of other partitions.
#[derive(Debug, Clone)]
pub struct DeleteIndex {
    table: TableName,
    files: Arc<[DeleteFile]>,
    lists: Vec<List>,
    vectors: HashMap<CanonicalUri, Vec<u32>>,
    /// Files that name their data file: by its path, then by partition.
    positions_of: HashMap<CanonicalUri, Vec<InPartition>>,
    positions_in: HashMap<Box<[u8]>, u32>,
    /// One list for each set of key columns.
    keys_in: HashMap<Box<[u8]>, Vec<u32>>,
    keys_everywhere: Vec<u32>,
}

/// A partition's key, and the list of what is in it.
type InPartition = (Box<[u8]>, u32);

/// Delete files of one scope, by sequence number.
#[derive(Debug, Clone, Default)]
struct List {
    /// The key's field ids; none for position deletes.
    field_ids: Box<[i32]>,
    files: Vec<u32>,
    /// Of equality deletes, which keys each of the files may have.
    each: Box<[Reach]>,
    /// The same of each and all that follow it.
    rest: Box<[Reach]>,
}

/// The delete files of one list from some sequence number on: many data files share a list, and often the place too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeleteList {
    /// Which list of the index.
    pub list: u32,
    /// Where in the list what applies begins.
    pub from: u32,
}

/// The delete files that apply to one data file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileDeletes<'a> {
    /// Its deletion vector. Position deletes don't apply beside one.
    pub vector: Option<&'a DeleteFile>,
    /// Its position deletes.
    pub positions: Vec<DeleteList>,
    /// Its equality deletes, one list for each set of key columns and scope.
    pub keys: Vec<DeleteList>,
}

impl List {
    fn find_reaches(&mut self, files: &[DeleteFile], of: &dyn Fn(i32) -> Option<PrimitiveType>) {
        if self.field_ids.is_empty() {
            return;
        }
        let key: Vec<_> = self.field_ids.iter().map(|id| (*id, of(*id))).collect();
        let each = self.files.iter();
        self.each = each
            .map(|at| Reach::of(&files[*at as usize], &key))
            .collect();
        let mut rest: Vec<Reach> = Vec::with_capacity(self.each.len());
        for reach in self.each.iter().rev() {
            let both = rest.last().map(|rest| rest.and(reach));
            rest.push(both.unwrap_or_else(|| reach.clone()));
        }
        rest.reverse();
        self.rest = rest.into();
    }
}

impl FileDeletes<'_> {
    /// Whether nothing is deleted from the file.
    pub fn is_empty(&self) -> bool {
        self.vector.is_none() && self.positions.is_empty() && self.keys.is_empty()
    }
}

impl DeleteIndex {
    /// Indexes the delete files of a table.
    pub fn new(table: &TableSnapshot, files: Arc<[DeleteFile]>) -> Self {
        let of = |id: i32| {
            let field = table.schema().field_by_id(id)?;
            field.field_type.as_primitive_type().cloned()
        };
        let unpartitioned = unpartitioned_specs(&table.metadata);
        Self::of_specs(table.name.clone(), files, &unpartitioned, &of)
    }

    pub(super) fn of_specs(
        table: TableName,
        files: Arc<[DeleteFile]>,
        unpartitioned: &HashSet<i32>,
        of: &dyn Fn(i32) -> Option<PrimitiveType>,
    ) -> Self {
        let mut index = Self {
            table,
            files: Arc::clone(&files),
            lists: Vec::new(),
            vectors: HashMap::new(),
            positions_of: HashMap::new(),
            positions_in: HashMap::new(),
            keys_in: HashMap::new(),
            keys_everywhere: Vec::new(),
        };
        let mut key = Vec::new();
        for (at, file) in (0_u32..).zip(files.iter()) {
            partition_key(file.spec_id, &file.partition, &mut key);
            match &file.content {
                DeleteContent::Vector { of, .. } => {
                    index.vectors.entry(of.clone()).or_default().push(at);
                }
                DeleteContent::Positions { of: Some(of) } => {
                    let lists = index.positions_of.entry(of.clone()).or_default();
                    let known = lists.iter().find(|(of, _)| **of == *key);
                    let list = match known {
                        Some((_, list)) => *list,
                        None => {
                            let list = new_list(&mut index.lists, &[]);
                            lists.push((key.as_slice().into(), list));
                            list
                        }
                    };
                    index.lists[list as usize].files.push(at);
                }
                DeleteContent::Positions { of: None } => {
                    let known = index.positions_in.entry(key.as_slice().into());
                    let list = *known.or_insert_with(|| new_list(&mut index.lists, &[]));
                    index.lists[list as usize].files.push(at);
                }
                DeleteContent::Equality { field_ids } => {
                    let scope = if unpartitioned.contains(&file.spec_id) {
                        &mut index.keys_everywhere
                    } else {
                        index.keys_in.entry(key.as_slice().into()).or_default()
                    };
                    let same = |list: &&u32| *index.lists[**list as usize].field_ids == **field_ids;
                    let list = match scope.iter().find(same) {
                        Some(list) => *list,
                        None => {
                            let list = new_list(&mut index.lists, field_ids);
                            scope.push(list);
                            list
                        }
                    };
                    index.lists[list as usize].files.push(at);
                }
            }
        }
        for list in &mut index.lists {
            list.files
                .sort_by_key(|at| files[*at as usize].sequence_number);
            list.find_reaches(&files, of);
        }
        index
    }

    /// All delete files.
    pub fn files(&self) -> &Arc<[DeleteFile]> {
        &self.files
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What applies to a data file.
    ///
    /// # Errors
    /// `Corrupt` when it has more than one deletion vector.
    pub fn of(&self, data: &DataFile) -> Result<FileDeletes<'_>> {
        let mut deletes = FileDeletes::default();
        if self.files.is_empty() {
            return Ok(deletes);
        }
        let mut key = Vec::new();
        partition_key(data.spec_id, &data.partition, &mut key);
        deletes.vector = self.vector_of(data, &key)?;
        if deletes.vector.is_none() {
            let of = self.positions_of.get(&data.id.uri).into_iter().flatten();
            let of = of
                .filter(|(partition, _)| **partition == *key)
                .map(|(_, list)| list);
            let lists = of.chain(self.positions_in.get(key.as_slice()));
            let applying = lists
                .filter_map(|list| self.from(*list, |sequence| sequence >= data.sequence_number));
            deletes.positions = applying.collect();
        }
        let here = self.keys_in.get(key.as_slice()).into_iter().flatten();
        let lists = self.keys_everywhere.iter().chain(here);
        let applying =
            lists.filter_map(|list| self.from(*list, |sequence| sequence > data.sequence_number));
        deletes.keys = applying.filter(|list| self.meets(*list, data)).collect();
        Ok(deletes)
    }

    /// The columns of all keys, ascending: by what a data file records of them, keys that it can't have are left out.
    pub fn key_columns(&self) -> Vec<i32> {
        let ids = self.lists.iter().flat_map(|list| list.field_ids.iter());
        let mut ids: Vec<i32> = ids.copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What this holds in memory, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let files: usize = self.files.iter().map(DeleteFile::heap_bytes).sum();
        let lists = self.lists.iter().map(|list| {
            let reaches = list.each.iter().chain(&list.rest);
            size_of::<List>()
                + size_of_val::<[i32]>(&list.field_ids)
                + list.files.capacity() * size_of::<u32>()
                + reaches
                    .map(|reach| size_of::<Reach>() + reach.heap_bytes())
                    .sum::<usize>()
        });
        // Each file is in one of the maps, under its own name or its partition's.
        files + lists.sum::<usize>() + self.files.len() * MAP_ENTRY_BYTES
    }

    /// Whether a data file may have a row with one of a list's keys.
    fn meets(&self, list: DeleteList, data: &DataFile) -> bool {
        let (Some(found), from) = (self.lists.get(list.list as usize), list.from as usize) else {
            return true;
        };
        if found.rest.get(from).is_some_and(|rest| !rest.meets(data)) {
            return false;
        }
        match found.each.get(from..) {
            Some(each) if !each.is_empty() && each.len() <= COMPARED_ONE_BY_ONE => {
                each.iter().any(|reach| reach.meets(data))
            }
            _ => true,
        }
    }

    /// The delete files of a list, by ascending sequence number.
    pub fn list(&self, list: DeleteList) -> impl ExactSizeIterator<Item = &DeleteFile> {
        let files = self.lists.get(list.list as usize);
        let files = files.and_then(|found| found.files.get(list.from as usize..));
        files
            .unwrap_or_default()
            .iter()
            .map(|at| &self.files[*at as usize])
    }

    /// The field ids of the key that a list of equality deletes has.
    pub fn field_ids(&self, list: DeleteList) -> &[i32] {
        let found = self.lists.get(list.list as usize);
        found.map_or(&[], |found| &found.field_ids)
    }

    fn vector_of(&self, data: &DataFile, key: &[u8]) -> Result<Option<&DeleteFile>> {
        let found = match self.vectors.get(&data.id.uri).map(Vec::as_slice) {
            None | Some([]) => return Ok(None),
            Some([one]) => &self.files[*one as usize],
            Some([one, other, ..]) => {
                let (one, other) = (&self.files[*one as usize], &self.files[*other as usize]);
                return Err(CatalogError::Corrupt {
                    table: self.table.clone(),
                    reason: format!(
                        "the data file {} has two deletion vectors, in {} and in {}",
                        data.id.uri, one.id.uri, other.id.uri
                    ),
                });
            }
        };
        let mut own = Vec::new();
        partition_key(found.spec_id, &found.partition, &mut own);
        let applies = own == key && found.sequence_number >= data.sequence_number;
        Ok(applies.then_some(found))
    }

    fn from(&self, list: u32, applies: impl Fn(i64) -> bool) -> Option<DeleteList> {
        let files = &self.lists.get(list as usize)?.files;
        let from = files.partition_point(|at| !applies(self.files[*at as usize].sequence_number));
        let from = (from < files.len()).then_some(from)?;
        Some(DeleteList {
            list,
            from: u32::try_from(from).ok()?,
        })
    }
}

fn new_list(lists: &mut Vec<List>, field_ids: &[i32]) -> u32 {
    lists.push(List {
        field_ids: field_ids.into(),
        ..List::default()
    });
    // There are no more lists than files, and those are counted in u32 as well.
    (lists.len() - 1) as u32
}
